//! The TPM's driver loads after the daemon has started. The kernel's IMA does not find the TPM again, so this must be the last
//! chapter in a boot.

use anyhow::{Result, bail, ensure};

use super::stage::Stage;
use crate::guest::SOON;
use crate::report::{Facts, StoryReport};

/// Shell code that sets `driver` and `device` to the TPM's driver and device, for unbinding and binding.
const DRIVER: &str = r#"driver=$(readlink -f /sys/class/tpm/tpm0/device/driver)
    device=$(basename "$(readlink -f /sys/class/tpm/tpm0/device)")"#;

pub(super) fn tell(report: &mut StoryReport, stage: &mut Stage<'_>) -> Result<()> {
    report.step(
        "late-tpm",
        "without its TPM the daemon waits; it continues when the driver is bound",
        |facts| comes_late(stage, facts),
    )?;
    report.step("no-other-device", "the kernel lets the daemon open its TPM and no other device", |facts| {
        no_other_device(stage, facts)
    })
}

fn comes_late(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let before = stage.machine.wait_until_entitled()?;
    stage.machine.succeed(&format!(
        r#"systemctl stop pawld
        {DRIVER}
        echo "$driver $device" >/run/tpm-driver
        echo "$device" >"$driver/unbind"
        test ! -e /dev/tpmrm0
        systemctl start pawld"#
    ))?;
    let shown =
        stage.machine.succeed("systemctl show pawld --property=ActiveState,StatusText,NRestarts,MainPID")?;
    ensure!(
        shown.contains("ActiveState=active"),
        "pawld.service is not active, so a boot would hang: {shown}"
    );
    ensure!(shown.contains("StatusText=waiting for the TPM"), "another status text: {shown}");
    facts.add("status", shown.lines().find(|line| line.starts_with("StatusText")).unwrap_or_default());
    let refused = stage.machine.run("pawlctl entitled")?;
    ensure!(refused.code == 69, "pawlctl ended with {}: {}{}", refused.code, refused.output, refused.errors);
    facts.add("refusal", stage.machine.expect_no_token()?);

    stage.machine.succeed(
        r#"read -r driver device </run/tpm-driver
        echo "$device" >"$driver/bind""#,
    )?;
    let after = stage.machine.wait_until_entitled()?;
    ensure!(after.pairing == before.pairing, "the pairing is another one: {:?}", after.pairing);
    let again = stage.machine.succeed("systemctl show pawld --property=NRestarts,MainPID")?;
    ensure!(again.contains("NRestarts=0"), "systemd restarted pawld: {again}");
    for line in again.lines() {
        ensure!(shown.contains(line), "systemd restarted pawld: {again}, before: {shown}");
    }
    // The device may have another number now. The driver created a new file of the boot log, readable only by root; udev's
    // rule gave it to the daemon's group, so that the control plane can appraise it.
    let log = "/sys/kernel/security/tpm*/binary_bios_measurements";
    let found = stage.machine.succeed(&format!("echo /dev/tpmrm*; stat -c '%n %U:%G %a' {log}"))?;
    facts.add("found", found.lines().collect::<Vec<_>>());
    ensure!(found.trim_end().ends_with("root:tss 440"), "the boot log has another group or mode: {found}");
    stage.wait_until_approved().map(drop)
}

/// Tries to open devices as root in the daemon's control group, so that only the kernel's device filter can refuse, not the mode
/// of a file.
fn no_other_device(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let script = r#"group=$(systemctl show pawld --property=ControlGroup --value)
        for device in /dev/tpmrm* /dev/null /dev/kmsg /dev/nvme0n1 /dev/mem /dev/tpm0; do
            [ -e "$device" ] || continue
            # The shell only opens the device and exits.
            if sh -c 'echo $$ >"/sys/fs/cgroup$1/cgroup.procs" && exec 3<>"$2"' sh "$group" "$device" 2>/dev/null
            then echo "$device: opens"
            else echo "$device: refused"
            fi
        done"#;
    let found = stage.machine.run_within(SOON, script)?.output;
    let opens: Vec<_> = found.lines().filter_map(|line| line.strip_suffix(": opens")).collect();
    facts.add("found", found.lines().collect::<Vec<_>>());
    let [tpm, "/dev/null"] = opens.as_slice() else { bail!("the daemon could open {opens:?}: {found}") };
    ensure!(tpm.starts_with("/dev/tpmrm"), "the daemon could open {tpm}");
    Ok(())
}
