//! What somebody may try while everything is left running.

use anyhow::Result;
use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, program, wait};
use serde_json::json;

use crate::teller::Teller;

/// Says how to look around, and waits for Ctrl-C.
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
