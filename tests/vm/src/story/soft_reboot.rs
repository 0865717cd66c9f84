//! Restarts userspace under the same kernel. systemd measures this, and the TPM is not reset.

use anyhow::{Result, ensure};

use super::stage::Stage;
use crate::report::{Facts, StoryReport};

pub(super) fn tell(report: &mut StoryReport, stage: &mut Stage<'_>) -> Result<()> {
    report.step(
        "soft-reboot",
        "after a soft reboot the device is entitled with the same pairing and a new report",
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
        "the kernel was rebooted"
    );
    let after = stage.wait_until_approved()?;
    ensure!(after.pairing == before.pairing, "the pairing is another one: {:?}", after.pairing);
    let phases = stage.measured_phases()?;
    ensure!(phases.len() > records.len(), "systemd has measured nothing: {phases:?}");
    facts.add("phases", phases);
    stage.machine.wait_until_active("workload")?;
    stage.machine.expect_token()
}
