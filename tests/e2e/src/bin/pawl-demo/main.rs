//! The demo: one device's story on real parts, with real values and timings.
//!
//! `main` wires the story to its teller. The story itself is in `story`, a file for each chapter.
#![forbid(unsafe_code)]

mod story;
mod teller;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, invocation, program, wait};
use serde_json::json;

use teller::{Manner, Teller};

/// Pairs, suspends, revokes and re-pairs a device on this machine: swtpm, mosquitto, a control plane, pawld.
///
/// Everything listens on the loopback interface only. Its files are in a private directory, which is
/// removed at the end.
#[derive(Parser)]
#[command(name = "pawl-demo", version)]
struct Arguments {
    /// Print one JSON object per line: step, ok, milliseconds, facts.
    #[arg(long)]
    json: bool,
    /// Leave everything running at the end, and print commands to inspect it.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let arguments: Arguments = match invocation::arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let mut teller = Teller::new(manner(arguments.json));
    match wait::end_on_signals().and_then(|()| story::tell(&mut teller, arguments.keep)) {
        Ok(()) => ExitCode::SUCCESS,
        // The story has printed the error.
        Err(error) => invocation::exit_code(&error),
    }
}

fn manner(json: bool) -> Manner {
    let refused = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if json {
        Manner::Json
    } else if std::io::stdout().is_terminal() && !refused("NO_COLOR") && !dumb {
        Manner::Colour
    } else {
        Manner::Plain
    }
}

/// Prints commands to inspect what runs, and waits for Ctrl-C.
pub(crate) fn invite(
    teller: &mut Teller,
    rig: &Rig,
    device: &Device,
    id: &str,
    alice: &Approver,
) -> Result<()> {
    let commands = commands(rig, device, id, alice)?;
    teller.step("kept", "everything is left running; Ctrl-C ends it", |facts| {
        facts.add("directory", rig.directory().path().display().to_string());
        facts.add_as("commands", json!(commands), "try");
        Ok(())
    })?;
    for command in &commands {
        teller.remark(&format!("        {command}"));
    }
    Err(wait::for_signal().into())
}

fn commands(rig: &Rig, device: &Device, id: &str, alice: &Approver) -> Result<Vec<String>> {
    let pawlctl = program("pawlctl")?.display().to_string();
    let control_plane = program("pawl-control-plane")?.display().to_string();
    let socket = device.api().socket().display();
    let config = rig.control_plane.config().display();
    Ok(vec![
        format!("{pawlctl} status --socket {socket}"),
        format!("{pawlctl} token telemetry --socket {socket}"),
        format!("{pawlctl} check --socket {socket} --config {}", device.config().display()),
        format!("{control_plane} devices --config {config}"),
        format!("{control_plane} show {id} --config {config}"),
        format!("{control_plane} records {id} --verify --config {config}"),
        format!("{pawlctl} re-pair --sign-with {} --socket {socket}", alice.key().display()),
        format!("{control_plane} revoke {id} --reason stolen --config {config}"),
        format!("tail -f {}/log/*.log", rig.directory().path().display()),
    ])
}
