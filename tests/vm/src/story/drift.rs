//! The device boots another command line: the TPM refuses the old lease, and the control plane refuses a new one. With the old
//! image the device is entitled again.

use anyhow::{Context as _, Result, ensure};
use pawl_proto::message::{DeviceState, TrustTier};

use super::stage::Stage;
use crate::machine::Cable;
use crate::report::{Facts, StoryReport};

pub(super) fn tell(report: &mut StoryReport, stage: &mut Stage<'_>, command_line: &str) -> Result<()> {
    report.step("drifted", "with another command line the TPM refuses the old lease, offline", |facts| {
        drift(stage, command_line, facts)
    })?;
    report.step("contraindicated", "the control plane signs no new lease", |facts| judged(stage, facts))
}

/// Restores the old image, regardless of the image booted last.
pub(super) fn tell_put_back(report: &mut StoryReport, stage: &mut Stage<'_>) -> Result<()> {
    report.step("put-back", "with the old command line the device is entitled again", |facts| {
        put_back(stage, facts)
    })
}

fn drift(stage: &mut Stage<'_>, command_line: &str, facts: &mut Facts) -> Result<()> {
    let changed = stage.system.signed_image_of(&stage.place.join("changed.efi"), command_line)?;
    stage.machine.switch_off()?;
    stage.machine.install(&changed)?;
    facts.add_seconds("boot", stage.machine.boot(Cable::Out)?);
    let status = stage.machine.wait_for(DeviceState::Lapsed)?;
    let lease = status.lease.context("the device has no lease")?;
    ensure!(!lease.accepted, "the TPM accepts the old lease");
    facts.add("tpm", lease.tpm_error);
    facts.add("reason", status.problem.map(|problem| problem.reason));
    withheld(stage, facts)
}

/// Plugs the cable in, and waits for the verdict.
pub(super) fn judged(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    stage.machine.plug_in()?;
    let status = stage.machine.wait_until("the device is contraindicated", |status| {
        status.verdict.as_ref().is_some_and(|verdict| verdict.result == Some(TrustTier::Contraindicated))
    })?;
    ensure!(status.state == DeviceState::Lapsed, "the device is {}", status.state);
    let reasons = status.verdict.map(|verdict| verdict.reasons).unwrap_or_default();
    facts.add("reasons", reasons.iter().map(ToString::to_string).collect::<Vec<_>>());
    let explained = stage.rig.control_plane.operator(&["policy", "explain", &stage.device])?;
    ensure!(explained.to_string().contains("boot.command-lines"), "another rule failed: {explained:#}");
    withheld(stage, facts)
}

/// Checks that workloads get no token, and that units bound to `pawl-entitled.service` do not run.
fn withheld(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    facts.add("refusal", stage.machine.expect_no_token()?);
    stage.machine.wait_until_inactive("pawl-entitled")?;
    stage.machine.wait_until_inactive("workload")
}

fn put_back(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    stage.machine.switch_off()?;
    stage.machine.install(&stage.first_image)?;
    facts.add_seconds("boot", stage.machine.boot(Cable::In)?);
    let status = stage.wait_until_approved()?;
    facts.add("epoch", status.counter.map(|counter| counter.0));
    stage.machine.wait_until_active("workload")?;
    stage.machine.expect_token()
}
