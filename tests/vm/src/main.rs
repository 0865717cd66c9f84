//! Pawl on machines that measure their boot, told from outside.
//!
//! `main` wires. The story is in `story`, a file for each chapter; what it is played on is in `image`, `machine`
//! and `guest`.
#![forbid(unsafe_code)]

mod architecture;
mod chance;
mod guest;
mod image;
mod machine;
mod report;
mod story;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use pawl_e2e::rig::wait::{self, Interrupted};

use architecture::Architecture;
use report::Report;

/// Boots a Debian with the package in QEMU, and tells its story: pairing, drift, updates, revocation, power cuts.
#[derive(Parser)]
#[command(name = "pawl-vm", version)]
struct Arguments {
    /// The machine.
    architecture: Architecture,
    /// The Debian package, for that machine.
    #[arg(long)]
    package: PathBuf,
    /// Where the machine's files and the report go.
    #[arg(long)]
    out: PathBuf,
    /// Pairing, posture, drift and revocation alone.
    #[arg(long)]
    short: bool,
    /// How often the power is cut in a wipe, and as often in a pairing.
    #[arg(long, default_value_t = 2)]
    cuts: u32,
    /// Where chance starts: the same number cuts at the same moments.
    #[arg(long)]
    seed: Option<u64>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => {
            let _ = usage.print();
            return ExitCode::from(if usage.use_stderr() { 64 } else { 0 });
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pawl-vm: {error:#}");
            match error.downcast_ref::<Interrupted>() {
                // What a shell expects of a program that a signal ended.
                Some(interrupted) => ExitCode::from(u8::try_from(128 + interrupted.signal).unwrap_or(1)),
                None => ExitCode::FAILURE,
            }
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    wait::end_on_signals()?;
    let mut report = Report::new(format!("Pawl on {}", arguments.architecture.name()), arguments.json);
    fs::create_dir_all(&arguments.out).with_context(|| format!("make {}", arguments.out.display()))?;
    let told = story::tell(&mut report, arguments);
    report.write(&arguments.out)?;
    told
}
