//! The device is paired, the control plane appraises its posture, and a service gets its token.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use pawl_local_api::LocalStatus;

use super::stage::Stage;
use crate::guest::SOON;
use crate::report::{Facts, StoryReport};

pub(super) fn tell(report: &mut StoryReport, stage: &mut Stage<'_>) -> Result<()> {
    report.step("paired", "the device is enrolled and paired", |facts| pair_at_first(stage, facts))?;
    report.step("checked", "pawlctl check finds no fault", |facts| check(stage, facts))?;
    report.step("posture", "the control plane appraises its real logs", |facts| posture(stage, facts))?;
    report.step("served", "a service gets its token through its unit", |facts| served(stage, facts))
}

fn pair_at_first(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    enrol(stage)?;
    let status = pair(stage)?;
    let pairing = status.pairing.context("no pairing")?;
    facts.add("endorsement_key", format!("{}, {} certificates", status.ek_kind, status.ek_certificates));
    facts.add("endorsement", pairing.endorsement);
    facts.add("epoch", pairing.epoch.0);
    facts.add_seconds("pairing_took", stage.pairing_time);
    Ok(())
}

/// Enrols the device, as the operator does.
pub(super) fn enrol(stage: &mut Stage<'_>) -> Result<()> {
    let ek_sha256 = stage.machine.status()?.ek_sha256;
    stage.rig.control_plane.enrol(&ek_sha256, "machine").map(drop)
}

/// Pairs the device, as a technician does.
pub(super) fn pair(stage: &mut Stage<'_>) -> Result<LocalStatus> {
    let start = Instant::now();
    let done = stage.machine.run_within(SOON, "pawlctl pair --timeout 80")?;
    ensure!(done.code == 0, "pawlctl pair ended with {}: {}{}", done.code, done.output, done.errors);
    stage.pairing_time = start.elapsed();
    stage.machine.wait_until_entitled()
}

fn check(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let done = stage.machine.run_within(SOON, "pawlctl check")?;
    facts.add("findings", done.output.lines().map(str::trim).collect::<Vec<_>>());
    ensure!(done.code == 0, "pawlctl check ended with {}: {}{}", done.code, done.output, done.errors);
    Ok(())
}

fn posture(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let verdict = stage.machine.status()?.verdict.context("no verdict")?;
    facts.add("verdict", verdict.result.map(|result| result.to_string()));
    facts.add("reasons", verdict.reasons.iter().map(ToString::to_string).collect::<Vec<_>>());
    let shown = stage.shown()?;
    facts.add("report", shown.get("last_report").cloned().unwrap_or_default().to_string());
    ensure!(verdict.result == Some(stage.system.architecture().verdict()), "the verdict is {verdict:?}");
    Ok(())
}

fn served(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    stage.machine.wait_until_active("workload")?;
    let unit = stage.machine.succeed(
        r#"test -s /run/workload/token
        pid=$(systemctl show workload --property=MainPID --value)
        stat -c %U /proc/$pid"#,
    )?;
    facts.add("user", unit.trim());
    ensure!(unit.trim() != "root", "the service runs as root");
    stage.machine.expect_token()
}
