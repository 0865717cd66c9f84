//! Two command lines that look like one parameter and are two for the kernel, or the other way round: the kernel
//! shows how it reads them, and the control plane refuses both, though the policy allows any `console=`.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::drift;
use super::stage::Stage;
use crate::machine::Cable;
use crate::report::{Facts, StoryReport};

/// The second byte of `à` in UTF-8 is 0xA0, a space to the kernel: it reads `init=/bin/sh`.
const SPACE_IN_A_LETTER: &str = "console=ttyS0\u{e0}init=/bin/sh";
/// The quote opens a value that has the rest of the line in it: the kernel reads no `ima_policy=`.
pub(super) const OPEN_QUOTE: &str = "console=\"";

/// A kernel without an initrd, to the point where it starts its first program.
const KERNEL: Duration = Duration::from_secs(240);

/// On a device that has just drifted to [`OPEN_QUOTE`].
pub(super) fn tell(report: &mut StoryReport, stage: &mut Stage<'_>) -> Result<()> {
    report.step(
        "open-quote",
        "a quote swallows ima_policy=: that line was refused, and IMA is off",
        |facts| open_quote(stage, facts),
    )?;
    report.step(
        "space-in-a-letter",
        "a letter whose second byte is the kernel's space starts a shell",
        |facts| shell(stage, facts),
    )?;
    report.step("space-refused", "and the control plane refuses that command line", |facts| {
        refused(stage, facts)
    })
}

fn open_quote(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    show_command_line(stage, OPEN_QUOTE, facts)?;
    let log = "/sys/kernel/security/integrity/ima/ascii_runtime_measurements";
    // Without a policy the kernel measures the aggregate of the boot, whose empty signature ends the line in a space.
    // Under Secure Boot it measures modules by a rule of its own (CONFIG_IMA_ARCH_POLICY). `ima_policy=tcb` would add
    // every program that runs.
    let others = format!("grep -v -e ' boot_aggregate *$' -e '\\.ko' {log} || true");
    let entries = stage.machine.succeed(&others)?;
    facts.add("ima_entries", entries.trim());
    ensure!(entries.trim().is_empty(), "IMA measures all the same: {entries}");
    Ok(())
}

/// Without an initrd, whose own `init` would come first, the kernel says which program it runs.
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
    ensure!(shown.contains("/bin/sh"), "the kernel reads it otherwise");
    Ok(())
}

/// What the kernel prints of its command line.
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

/// What the kernel was given is what the image has, byte by byte.
fn show_command_line(stage: &mut Stage<'_>, console: &str, facts: &mut Facts) -> Result<()> {
    let line = stage.system.command_line_with_console(console);
    let booted = stage.machine.succeed("cat /proc/cmdline")?;
    facts.add("proc_cmdline", booted.trim_end());
    ensure!(booted.trim_end().ends_with(&line), "/proc/cmdline is {booted:?}, not {line:?}");
    Ok(())
}
