//! Secure Boot is on: an unsigned image does not start.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::stage::Stage;
use crate::machine::Cable;
use crate::report::{Facts, StoryReport};

/// A firmware under emulation, to the point where it starts an image or does not.
const FIRMWARE: Duration = Duration::from_secs(120);
/// What the firmware prints of an image that it does not start, and what the kernel's stub prints.
const REFUSED: &str = "Access Denied";
const STARTED: &str = "EFI stub:";

pub(super) fn tell(report: &mut StoryReport, stage: &mut Stage<'_>) -> Result<()> {
    report.step("unsigned", "an image that nobody has signed does not boot", |facts| unsigned(stage, facts))
}

/// The same image as the one that boots, but for the signature. The machine must be switched off.
fn unsigned(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let image = stage.system.unsigned_image(&stage.place.join("unsigned.efi"), "")?;
    stage.machine.install(&image)?;
    stage.machine.switch_on(Cable::Out)?;
    let shown = stage.machine.wait_for_console(FIRMWARE, &[REFUSED, STARTED])?;
    ensure!(shown == REFUSED, "the firmware starts it");
    facts.add("firmware", shown);
    stage.machine.cut_power()?;
    stage.machine.install(&stage.first_image)
}
