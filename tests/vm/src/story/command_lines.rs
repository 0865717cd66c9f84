//! Two deceptive command lines: one hides a second parameter in a letter, one hides all later parameters behind a quote. The
//! kernel shows how it parses them, and the control plane refuses both, although the policy allows any `console=`.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::drift;
use super::stage::Stage;
use crate::machine::Cable;
use crate::report::{Facts, StoryReport};

/// The second byte of `à` in UTF-8 is 0xA0, which the kernel treats as a space: it parses `init=/bin/sh` as a parameter.
const SPACE_IN_A_LETTER: &str = "console=ttyS0\u{e0}init=/bin/sh";
/// The quote opens a value that contains the rest of the line: the kernel does not parse `ima_policy=`.
pub(super) const OPEN_QUOTE: &str = "console=\"";

/// The time limit for a kernel without an initrd to start its first program.
const KERNEL: Duration = Duration::from_secs(240);

/// Tests both command lines. The device must just have drifted to [`OPEN_QUOTE`].
pub(super) fn tell(report: &mut StoryReport, stage: &mut Stage<'_>) -> Result<()> {
    report.step(
        "open-quote",
        "an open quote disables ima_policy=; the control plane refused that line, and IMA is off",
        |facts| open_quote(stage, facts),
    )?;
    report.step(
        "space-in-a-letter",
        "a letter whose second byte is a space for the kernel starts a shell",
        |facts| shell(stage, facts),
    )?;
    report.step("space-refused", "the control plane refuses that command line", |facts| refused(stage, facts))
}

fn open_quote(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    show_command_line(stage, OPEN_QUOTE, facts)?;
    let log = "/sys/kernel/security/integrity/ima/ascii_runtime_measurements";
    // Without a policy, the kernel measures only the boot aggregate, whose empty signature ends the line with a space, and
    // under Secure Boot also modules (CONFIG_IMA_ARCH_POLICY). `ima_policy=tcb` would add every program that runs.
    let others = format!("grep -v -e ' boot_aggregate *$' -e '\\.ko' {log} || true");
    let entries = stage.machine.succeed(&others)?;
    facts.add("ima_entries", entries.trim());
    ensure!(entries.trim().is_empty(), "IMA still measures: {entries}");
    Ok(())
}

/// Boots the kernel without an initrd, whose `init` would run first. The kernel prints the name of the program that it runs.
fn shell(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    stage.machine.switch_off()?;
    let image = stage.system.image_without_initrd(
        &stage.place.join("shell.efi"),
        &format!("{} rootwait", stage.system.command_line_with_console(SPACE_IN_A_LETTER)),
    )?;
    stage.machine.install(&image)?;
    stage.machine.switch_on(Cable::Out)?;
    let shown = stage
        .machine
        .wait_for_console(KERNEL, &["Run /bin/sh as init process", "Run /sbin/init as init process"])?;
    facts.add("kernel", shown);
    facts.add("command_line", kernel_line(&stage.machine.console()?));
    stage.machine.cut_power()?;
    ensure!(shown.contains("/bin/sh"), "the kernel parsed the command line otherwise: {shown}");
    Ok(())
}

/// Returns the command line as the kernel prints it.
fn kernel_line(console: &str) -> String {
    console
        .lines()
        .find_map(|line| line.split_once("Kernel command line: "))
        .map_or("", |(_, line)| line)
        .into()
}

fn refused(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let line = stage.system.command_line_with_console(SPACE_IN_A_LETTER);
    let image = stage.system.signed_image_of(&stage.place.join("letter.efi"), &line)?;
    stage.machine.install(&image)?;
    facts.add_seconds("boot", stage.machine.boot(Cable::Out)?);
    show_command_line(stage, SPACE_IN_A_LETTER, facts)?;
    drift::judged(stage, facts)
}

/// Checks that the kernel got the image's command line, byte by byte.
fn show_command_line(stage: &mut Stage<'_>, console: &str, facts: &mut Facts) -> Result<()> {
    let line = stage.system.command_line_with_console(console);
    let booted = stage.machine.succeed("cat /proc/cmdline")?;
    facts.add("proc_cmdline", booted.trim_end());
    ensure!(booted.trim_end().ends_with(&line), "/proc/cmdline is {booted:?}, not {line:?}");
    Ok(())
}
