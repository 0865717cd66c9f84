//! Updates: one that was approved ahead, whose keys work before the network does; and one that the policy allows,
//! which works after one report.

use anyhow::{Context as _, Result, ensure};
use pawl_proto::message::DeviceState;

use super::policy::ALLOWED;
use super::stage::Stage;
use crate::machine::Cable;
use crate::report::{Facts, Report};

/// What no policy allows.
const PRE_APPROVED: &str = "panic=20";

pub(super) fn tell(report: &mut Report, stage: &mut Stage<'_>) -> Result<()> {
    report.step("pre-approved", "an update is approved ahead", |facts| pre_approve(stage, facts))?;
    report.step("update-ahead", "its keys work before the network does", |facts| {
        before_the_network(stage, facts)
    })?;
    report.step("update-judged", "with the network it is judged as approved", |facts| {
        stage.machine.plug_in()?;
        let status = stage.wait_until_approved()?;
        let reasons = status.verdict.map(|verdict| verdict.reasons).unwrap_or_default();
        facts.add("reasons", reasons.iter().map(ToString::to_string).collect::<Vec<_>>());
        Ok(())
    })?;
    report.step("update-reported", "an update that nobody approved ahead works after one report", |facts| {
        after_one_report(stage, facts)
    })
}

fn pre_approve(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let image = stage.image("pre-approved", PRE_APPROVED)?;
    let file = image.path().display().to_string();
    let state = stage.rig.control_plane.reported_state(&stage.device)?;
    let update = ["pre-approve", &stage.device, "--state", &state, "--boot", &file, "--name", "update"];
    stage.rig.control_plane.operator(&update)?;
    stage.machine.wait_until("the device has a lease ahead", |status| {
        status.lease.as_ref().is_some_and(|lease| lease.ahead == 1 && lease.accepted)
    })?;
    facts.add("command_line", stage.system.command_line(PRE_APPROVED));
    stage.machine.shut_down()?;
    stage.machine.install(&image)
}

fn before_the_network(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    facts.add_seconds("boot", stage.machine.boot(Cable::Out)?);
    let status = stage.machine.wait_for(DeviceState::Entitled)?;
    ensure!(!status.broker.connected, "it is connected to {:?}", status.broker.address);
    ensure!(status.lease.is_some_and(|lease| lease.accepted), "the TPM refuses the lease");
    stage.machine.wait_until_active("workload")?;
    stage.machine.be_given_the_token()?;
    facts.add("broker", status.broker.error);
    Ok(())
}

fn after_one_report(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let keys = "sha256sum /var/lib/pawl/pairing/*.key";
    let (before, sealed) = (stage.machine.status()?.pairing, stage.machine.succeed(keys)?);
    let image = stage.image("allowed", ALLOWED)?;
    stage.machine.shut_down()?;
    stage.machine.install(&image)?;
    facts.add_seconds("boot", stage.machine.boot(Cable::In)?);
    let status = stage.wait_until_approved()?;
    ensure!(status.pairing == before, "the pairing is another one: {:?}", status.pairing);
    ensure!(stage.machine.succeed(keys)? == sealed, "keys were sealed anew");
    let verdict = status.verdict.context("no verdict")?;
    facts.add("reports", verdict.reports);
    stage.machine.wait_until_active("workload")?;
    stage.machine.be_given_the_token()
}
