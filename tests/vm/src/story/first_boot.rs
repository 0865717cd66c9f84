//! The machine boots for the first time, and a technician configures it.

use std::fs;

use anyhow::{Result, ensure};

use super::stage::Stage;
use crate::machine::Cable;
use crate::report::{Facts, StoryReport};

pub(super) fn tell(report: &mut StoryReport, stage: &mut Stage<'_>) -> Result<()> {
    report.step("booted", "the machine boots: firmware, stub, kernel, systemd", |facts| {
        facts.add_seconds("to_the_first_unit", stage.machine.boot(Cable::In)?);
        Ok(())
    })?;
    report.step(
        "not-configured",
        "without a configuration, pawld exits and systemd does not restart it",
        |facts| not_configured(stage, facts),
    )?;
    report.step("configured", "a technician configures the control plane, and pawld starts", |facts| {
        configure(stage)?;
        confined(stage, facts)
    })
}

fn not_configured(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let state = stage.machine.run("systemctl is-system-running --wait")?.output;
    let shown = stage.machine.succeed("systemctl show pawld --property=ExecMainStatus,NRestarts,Result")?;
    ensure!(shown.contains("ExecMainStatus=78"), "pawld without a configuration: {shown}");
    ensure!(shown.contains("NRestarts=0"), "systemd restarts pawld: {shown}");
    let expected = stage.system.release().failing_units();
    let mut failed = failed_units(stage)?;
    failed.retain(|unit| !expected.contains(&unit.as_str()));
    ensure!(failed == ["pawld.service"], "other units have failed too: {failed:?}");
    let cycles = stage.machine.run("journalctl --no-pager -o cat --grep 'ordering cycle'")?.output;
    ensure!(cycles.is_empty(), "systemd dropped a job to break an ordering cycle: {cycles}");
    facts.add("system", state.trim());
    facts.add("systemd_analyze", stage.machine.succeed("systemd-analyze | head -n 1")?.trim());
    Ok(())
}

/// Configures the device, as a technician does at its first boot. Syncs the files, so that a power cut does not lose them.
pub(super) fn configure(stage: &mut Stage<'_>) -> Result<()> {
    let authority = fs::read_to_string(stage.rig.control_plane.ca())?;
    let url = stage.rig.control_plane.url();
    stage.machine.succeed(&format!(
        r#"cat >/etc/pawl/control-plane.pem <<'END'
{authority}
END
cat >/etc/pawl/conf.d/10-test.toml <<'END'
[control_plane]
url = "{url}"
ca = "/etc/pawl/control-plane.pem"
[[token]]
name = "telemetry"
scopes = ["telemetry"]
END
sync
systemctl start pawld"#
    ))?;
    stage.device = stage.machine.status()?.device.to_string();
    Ok(())
}

/// Checks that the daemon runs as an unprivileged user without capabilities, under a system call filter. Adds the owners and
/// modes of the kernel's logs and of its sockets to the facts.
fn confined(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let text = stage.machine.succeed(
        r#"pid=$(systemctl show pawld --property=MainPID --value)
        echo "user: $(stat -c %U /proc/$pid)"
        sed -n 's/^\(CapEff\|Seccomp\|VmRSS\):[[:space:]]*/\1: /p' /proc/$pid/status
        stat -c '%n: %U:%G %a' /sys/kernel/security/tpm0/binary_bios_measurements \
            /sys/kernel/security/integrity/ima/binary_runtime_measurements /dev/tpmrm0 /run/pawl/pawld.sock"#,
    )?;
    for line in text.lines() {
        if let Some((name, value)) = line.split_once(": ") {
            facts.add(name.rsplit('/').next().unwrap_or(name), value);
        }
    }
    for wanted in ["user: pawl", "CapEff: 0000000000000000", "Seccomp: 2"] {
        ensure!(text.contains(wanted), "{wanted:?} is missing: {text}");
    }
    Ok(())
}

fn failed_units(stage: &mut Stage<'_>) -> Result<Vec<String>> {
    let text = stage.machine.succeed("systemctl list-units --failed --plain --no-legend")?;
    Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}
