//! Installs two updates. The device is entitled after the first one, which the policy allows, once it has reported. After the
//! second one, which the operator pre-approves, the keys work before the device has a network.

use anyhow::{Context as _, Result, ensure};

use super::ahead;
use super::stage::Stage;
use crate::machine::Cable;
use crate::report::{Facts, StoryReport};

/// A parameter that the policy does not allow.
const PRE_APPROVED: &str = "panic=20";

/// Installs both updates. The device must have drifted.
pub(super) fn tell(report: &mut StoryReport, stage: &mut Stage<'_>) -> Result<()> {
    report.step(
        "update-reported",
        "an update that was not pre-approved ends the drift after one report",
        |facts| after_one_report(stage, facts),
    )?;
    report.step("pre-approved", "an update is pre-approved", |facts| pre_approve(stage, facts))?;
    report.step("update-ahead", "after the update the keys work without the network", |facts| {
        ahead::boot_off_line(stage, facts)
    })?;
    report.step("update-judged", "with the network the control plane appraises it as approved", |facts| {
        ahead::go_on_line(stage, facts)
    })
}

fn after_one_report(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let keys = "sha256sum /var/lib/pawl/pairing/*.key";
    let (before, sealed) = (stage.machine.status()?.pairing, stage.machine.succeed(keys)?);
    let image = stage.allowed_image.take().context("no policy allows an image")?;
    stage.machine.switch_off()?;
    stage.machine.install(&image)?;
    facts.add_seconds("boot", stage.machine.boot(Cable::In)?);
    let status = stage.wait_until_approved()?;
    ensure!(status.pairing == before, "the pairing is another one: {:?}", status.pairing);
    ensure!(stage.machine.succeed(keys)? == sealed, "the key files have changed");
    let verdict = status.verdict.context("no verdict")?;
    facts.add("reports", verdict.reports);
    stage.machine.wait_until_active("workload")?;
    stage.machine.expect_token()
}

fn pre_approve(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let image = stage.image("pre-approved", PRE_APPROVED)?;
    ahead::approve(stage, "update", &["--boot", &image.path().display().to_string()])?;
    facts.add("command_line", stage.system.command_line(PRE_APPROVED));
    stage.machine.switch_off()?;
    stage.machine.install(&image)
}
