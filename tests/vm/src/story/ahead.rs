//! The operator approves a boot state in advance. After that boot, the keys work before the device has a network.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use pawl_proto::message::DeviceState;

use super::stage::Stage;
use crate::machine::Cable;
use crate::report::Facts;

/// The remaining lifetime that tokens must have before the device is switched off. It is longer than the next boot. A token is
/// valid for 600 s, and the device renews it after 400 s.
const TOKENS_LAST: Duration = Duration::from_secs(240);

/// Pre-approves the state that results from the options in `update` on top of the last reported state. Waits until the device
/// has the lease for it, and tokens that outlast the boot.
pub(super) fn approve(stage: &mut Stage<'_>, name: &str, update: &[&str]) -> Result<()> {
    let state = stage.rig.control_plane.reported_state(&stage.device)?;
    let command = ["pre-approve", &stage.device, "--state", &state, "--name", name];
    stage.rig.control_plane.operator(&[&command, update].concat())?;
    stage.machine.wait_until("the device has a lease ahead", |status| {
        status.lease.as_ref().is_some_and(|lease| lease.ahead == 1 && lease.accepted)
    })?;
    let boot_over = SystemTime::now().duration_since(UNIX_EPOCH)? + TOKENS_LAST;
    stage.machine.wait_until("the device has tokens that outlast the boot", |status| {
        status.tokens.iter().all(|token| token.expires_at.is_some_and(|end| end > boot_over.as_secs()))
    })?;
    Ok(())
}

/// Boots into the pre-approved state with the network cable unplugged.
pub(super) fn boot_off_line(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    facts.add_seconds("boot", stage.machine.boot(Cable::Out)?);
    let status = stage.machine.wait_for(DeviceState::Entitled)?;
    ensure!(!status.broker.connected, "it is connected to {:?}", status.broker.address);
    ensure!(status.lease.is_some_and(|lease| lease.accepted), "the TPM refuses the lease");
    stage.machine.wait_until_active("workload")?;
    stage.machine.expect_token()?;
    facts.add("broker", status.broker.error);
    Ok(())
}

/// Plugs the cable in, and waits for the verdict that approves the boot.
pub(super) fn go_on_line(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    stage.machine.plug_in()?;
    let status = stage.wait_until_approved()?;
    let reasons = status.verdict.map(|verdict| verdict.reasons).unwrap_or_default();
    facts.add("reasons", reasons.iter().map(ToString::to_string).collect::<Vec<_>>());
    Ok(())
}
