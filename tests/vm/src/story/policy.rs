//! The operator learns a policy from the device's boot, extends it, and applies it.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use pawl_e2e::rig::wait;
use pawl_evidence::boot_image::PeImage;
use pawl_evidence::tpm::HashAlgorithm;
use serde_json::Value;

use super::stage::Stage;
use crate::guest::SOON;
use crate::report::{Facts, StoryReport};

/// The parameter that the policy allows in addition to the present command line.
const ALLOWED: &str = "panic=30";

pub(super) fn tell(report: &mut StoryReport, stage: &mut Stage<'_>) -> Result<()> {
    report.step("policy", "a policy that was learnt from the boot affirms it", |facts| learn(stage, facts))
}

fn learn(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let learnt = stage.rig.control_plane.learn_policy(&stage.device)?;
    facts.add("learnt_lines", learnt.lines().count());
    let system = stage.system;
    let allowed = [system.command_line(ALLOWED), system.command_line_with_console("console=*")];
    let mut policy = widened(&learnt, &allowed)?;
    // Since systemd 258, a unified kernel image starts its kernel itself, and a policy lists the image and its sections: the
    // log does not contain the text of the command line, and the kernel's initrd contains a secret of the machine.
    let allowed_image = stage.image("allowed", ALLOWED)?;
    if policy.contains("unified-images = [") {
        let image = fs::read(allowed_image.path())?;
        let image = PeImage::parse(&image)?;
        let command_line = image.section(".cmdline").context("the image has no command line")?;
        let section = HashAlgorithm::Sha256.digest(&[&command_line]);
        policy = with(&policy, "unified-images", &image.authenticode(HashAlgorithm::Sha256).to_string())?;
        policy = with(&policy, "sections", &section.to_string())?;
    }
    stage.allowed_image = Some(allowed_image);
    stage.rig.control_plane.set_policy(&stage.device, &policy)?;
    stage.rig.control_plane.refresh(&stage.device)?;
    let verdict = wait::until("the device is appraised by the policy", SOON, || {
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

/// Extends the learnt policy: it accepts all signed images, and these command lines.
fn widened(learnt: &str, command_lines: &[String]) -> Result<String> {
    let lines = format!("[boot]\ncommand-lines = {command_lines:?}\n");
    let policy = learnt
        .replace("accept-signed-images = false", "accept-signed-images = true")
        .replace("[boot]\n", &lines);
    ensure!(
        policy.contains("accept-signed-images = true") && policy.contains(&lines),
        "the learnt policy has another form: {learnt}"
    );
    Ok(policy)
}

/// Returns the policy with one more entry in an existing list.
fn with(policy: &str, list: &str, entry: &str) -> Result<String> {
    let start = format!("\n{list} = [\n");
    ensure!(policy.contains(&start), "the policy has no {list}: {policy}");
    Ok(policy.replacen(&start, &format!("{start}    {{ digest = {entry:?} }},\n"), 1))
}
