//! The operator learns the policy that the device's boot satisfies, goes on writing it, and has it judge.

use anyhow::{Context as _, Result, ensure};
use pawl_e2e::rig::wait;
use serde_json::Value;

use super::stage::Stage;
use crate::guest::SOON;
use crate::report::{Facts, Report};

/// What the policy allows besides the command line of now.
pub(super) const ALLOWED: &str = "panic=30";

pub(super) fn tell(report: &mut Report, stage: &mut Stage<'_>) -> Result<()> {
    report.step("policy", "a policy is learnt from the boot, and affirms it", |facts| learn(stage, facts))
}

fn learn(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let learnt = stage.rig.control_plane.learn_policy(&stage.device)?;
    facts.add("learnt_lines", learnt.lines().count());
    let system = stage.system;
    let allowed = [system.command_line(ALLOWED), system.command_line_with_console("console=*")];
    let policy = widened(&learnt, &allowed)?;
    stage.rig.control_plane.set_policy(&stage.device, &policy)?;
    stage.rig.control_plane.refresh(&stage.device)?;
    let verdict = wait::until("the device is judged by the policy", SOON, || {
        let verdict = stage.shown()?.get("verdict").cloned().context("no verdict")?;
        ensure!(verdict.get("policy").is_some_and(Value::is_string), "the verdict is {verdict}");
        Ok(verdict)
    })?;
    facts.add("sha256", verdict.get("policy").cloned());
    let areas = verdict.get("areas").cloned().unwrap_or_default();
    facts.add("areas", areas.to_string());
    ensure!(areas.get("boot").is_some_and(|boot| boot == "affirming"), "the boot is not affirming: {areas}");
    stage.wait_until_approved().map(drop)
}

/// Signed images besides those of now, with one more command line, and with any console.
fn widened(learnt: &str, command_lines: &[String]) -> Result<String> {
    let lines = format!("[boot]\ncommand-lines = {command_lines:?}\n");
    let policy = learnt
        .replace("accept-signed-images = false", "accept-signed-images = true")
        .replace("[boot]\n", &lines);
    ensure!(
        policy.contains("accept-signed-images = true") && policy.contains(&lines),
        "what was learnt: {learnt}"
    );
    Ok(policy)
}
