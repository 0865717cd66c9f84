//! Userspace starts again under the same kernel: systemd measures that, and the TPM was not reset.

use anyhow::{Result, ensure};

use super::stage::Stage;
use crate::report::{Facts, StoryReport};

pub(super) fn tell(report: &mut StoryReport, stage: &mut Stage<'_>) -> Result<()> {
    report.step(
        "soft-reboot",
        "after a soft reboot the device is entitled, by the old keys and a new report",
        |facts| soft_reboot(stage, facts),
    )
}

fn soft_reboot(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let before = stage.wait_until_approved()?;
    let kernel = stage.machine.succeed("cat /proc/sys/kernel/random/boot_id")?;
    let records = stage.measured_phases()?;
    facts.add_seconds("took", stage.machine.soft_reboot()?);
    ensure!(
        stage.machine.succeed("cat /proc/sys/kernel/random/boot_id")? == kernel,
        "it was a reboot of the kernel"
    );
    let after = stage.wait_until_approved()?;
    ensure!(after.pairing == before.pairing, "the pairing is another one: {:?}", after.pairing);
    let phases = stage.measured_phases()?;
    ensure!(phases.len() > records.len(), "systemd has measured nothing: {phases:?}");
    facts.add("phases", phases);
    stage.machine.wait_until_active("workload")?;
    stage.machine.be_given_the_token()
}
