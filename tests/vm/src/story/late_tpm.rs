//! The driver of the TPM comes later than the daemon. The kernel's IMA does not find the TPM again: to be told last in
//! a boot.

use anyhow::{Result, bail, ensure};

use super::stage::Stage;
use crate::guest::SOON;
use crate::report::{Facts, StoryReport};

/// What the shell of the guest needs to take the driver away, and to bring it back.
const DRIVER: &str = r#"driver=$(readlink -f /sys/class/tpm/tpm0/device/driver)
    device=$(basename "$(readlink -f /sys/class/tpm/tpm0/device)")"#;

pub(super) fn tell(report: &mut StoryReport, stage: &mut Stage<'_>) -> Result<()> {
    report.step(
        "late-tpm",
        "without its TPM the daemon waits, and goes on when the driver comes",
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
    ensure!(shown.contains("ActiveState=active"), "a boot would hang on it: {shown}");
    ensure!(shown.contains("StatusText=waiting for the TPM"), "it does not say what it waits for: {shown}");
    facts.add("status", shown.lines().find(|line| line.starts_with("StatusText")).unwrap_or_default());
    let refused = stage.machine.run("pawlctl entitled")?;
    ensure!(refused.code == 69, "pawlctl ended with {}: {}{}", refused.code, refused.output, refused.errors);
    facts.add("refusal", stage.machine.be_refused_the_token()?);

    stage.machine.succeed(
        r#"read -r driver device </run/tpm-driver
        echo "$device" >"$driver/bind""#,
    )?;
    let after = stage.machine.wait_until_entitled()?;
    ensure!(after.pairing == before.pairing, "the pairing is another one: {:?}", after.pairing);
    let again = stage.machine.succeed("systemctl show pawld --property=NRestarts,MainPID")?;
    ensure!(again.contains("NRestarts=0"), "it was started again: {again}");
    for line in again.lines() {
        ensure!(shown.contains(line), "it was started again: {again} and before {shown}");
    }
    // The driver may have another number now. It made the boot log anew, readable for root alone: udev has given that
    // to the daemon's group, and the control plane judges it.
    let log = "/sys/kernel/security/tpm*/binary_bios_measurements";
    let found = stage.machine.succeed(&format!("echo /dev/tpmrm*; stat -c '%n %U:%G %a' {log}"))?;
    facts.add("found", found.lines().collect::<Vec<_>>());
    ensure!(found.trim_end().ends_with("root:tss 440"), "the boot log is another one: {found}");
    stage.wait_until_approved().map(drop)
}

/// As root in the daemon's control group: what refuses is the kernel, not the mode of a file.
fn no_other_device(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let script = r#"group=$(systemctl show pawld --property=ControlGroup --value)
        for device in /dev/tpmrm* /dev/null /dev/kmsg /dev/nvme0n1 /dev/mem /dev/tpm0; do
            [ -e "$device" ] || continue
            # A subshell that ends with the test. Opening is all that it does.
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
