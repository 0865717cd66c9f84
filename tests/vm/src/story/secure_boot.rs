//! Secure Boot is on: an unsigned image does not start.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::stage::Stage;
use crate::machine::Cable;
use crate::report::{Facts, StoryReport};

/// The time limit for emulated firmware to start or refuse an image.
const FIRMWARE: Duration = Duration::from_secs(120);
/// The text that the firmware prints when it refuses an image, and the text that a started kernel's stub prints.
const REFUSED: &str = "Access Denied";
const STARTED: &str = "EFI stub:";

pub(super) fn tell(report: &mut StoryReport, stage: &mut Stage<'_>) -> Result<()> {
    report.step("unsigned", "an unsigned image does not boot", |facts| unsigned(stage, facts))
}

/// Tries to boot the first image without its signature. The machine must be switched off.
fn unsigned(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let image = stage.system.unsigned_image(&stage.place.join("unsigned.efi"), "")?;
    stage.machine.install(&image)?;
    stage.machine.switch_on(Cable::Out)?;
    let shown = stage.machine.wait_for_console(FIRMWARE, &[REFUSED, STARTED])?;
    ensure!(shown == REFUSED, "the firmware starts the unsigned image");
    facts.add("firmware", shown);
    stage.machine.cut_power()?;
    stage.machine.install(&stage.first_image)
}
