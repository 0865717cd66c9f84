//! Replaces the events of each boot chain: a unified kernel image, a kernel started by its EFI stub, and GRUB.

use super::boot::{LoggedBoot, PredictError, Replacements, is_kernel_section};
use crate::boot_image::{SeparateFiles, UnifiedImage};
use crate::eventlog::facts::{EventFact, Fact, Stage, Tie, load_options};

/// Returns whether the stub passes on a boot secret (systemd 262). The secret is in the initrd that the kernel
/// measures and differs on each machine, so PCR 9 cannot be predicted. Stubs of that version also measure the
/// SMBIOS table and start the kernel themselves.
pub(super) fn has_boot_secret(boot: &LoggedBoot<'_, '_>) -> bool {
    boot.all().any(|event| event.stage == Stage::Loader && event.fact == Fact::MachineTable)
}

/// The PCRs into which systemd-stub measures its additions, which it finds next to the image: command lines and
/// credentials, extensions.
const ADDITIONS_PCRS: [u8; 2] = [12, 13];

/// Replaces the image in PCR 4, the kernel after it if the stub has the firmware load it, and the measurements
/// of the kernel's own stub in PCR 9.
pub(super) fn replace_unified_image<'i>(
    boot: &LoggedBoot<'_, '_>,
    image: &'i UnifiedImage,
) -> Result<Replacements<'i>, PredictError> {
    boot.starts(image.is_signed)?;
    if let Some(addition) = boot.all().find(|event| ADDITIONS_PCRS.contains(&event.pcr)) {
        return Err(PredictError::Addition { line: addition.number, pcr: addition.pcr });
    }
    let unmatched = PredictError::Unmatched;
    let sections = boot.only("a kernel in a unified image", is_kernel_section)?;
    let sections_at = sections.ok_or(PredictError::UnknownChain)?.number;
    let loaded = boot.images().rfind(|event| event.number < sections_at).ok_or(unmatched("an image"))?;
    let mut replacements = Replacements::default().by(loaded, &image.image);
    let mut kernels = boot.images().filter(|event| event.number > sections_at);
    if let Some(kernel) = kernels.next() {
        replacements = replacements.by(kernel, &image.kernel);
    }
    match kernels.count() {
        0 => {}
        more => return Err(PredictError::Ambiguous { what: "a kernel", count: more.saturating_add(1) }),
    }
    if let Some(event) = boot.only("a command line", |fact| *fact == Fact::LoadOptions)? {
        replacements = replacements.by_content(event, &load_options(&image.command_line));
    }
    if has_boot_secret(boot) {
        return Ok(replacements);
    }
    if image.adds_to_initrd {
        return Err(PredictError::AddsToInitrd);
    }
    match (boot.only("an initrd", |fact| *fact == Fact::Initrd)?, &image.initrd) {
        (Some(event), Some(initrd)) => Ok(replacements.by(event, initrd)),
        (None, None) => Ok(replacements),
        _ => Err(unmatched("an initrd")),
    }
}

/// The PCR of the command line that systemd-boot passes to the kernel.
const LOADER_PCR: u8 = 12;

/// Replaces the kernel at the end of PCR 4, its stub's measurements in PCR 9, and the command line that
/// systemd-boot passed on in PCR 12. Not every kernel measures the command line; otherwise it must be in PCR 12.
pub(super) fn replace_stub_files<'i>(
    boot: &LoggedBoot<'_, '_>,
    files: &'i SeparateFiles,
) -> Result<Replacements<'i>, PredictError> {
    boot.starts(files.is_signed)?;
    let kernel = boot.images().next_back().ok_or(PredictError::UnknownChain)?;
    let initrd =
        boot.only("an initrd", |fact| *fact == Fact::Initrd)?.ok_or(PredictError::Unmatched("an initrd"))?;
    let options = boot.only("a command line", |fact| *fact == Fact::LoadOptions)?;
    let passed_on = passed_on(boot, options)?;
    if options.is_none() && passed_on.is_empty() {
        return Err(PredictError::UnknownChain);
    }
    let command_line = load_options(&files.command_line);
    let replacements = Replacements::default().by(kernel, &files.kernel).by(initrd, &files.initrd);
    let command_lines = options.into_iter().chain(passed_on);
    Ok(command_lines.fold(replacements, |replacements, event| replacements.by_content(event, &command_line)))
}

/// Returns the events of PCR 12, which must all contain the present command line. systemd-boot and a stub it
/// starts each measure it.
fn passed_on<'f, 'a>(
    boot: &LoggedBoot<'f, 'a>,
    options: Option<&EventFact<'_>>,
) -> Result<Vec<&'f EventFact<'a>>, PredictError> {
    let events: Vec<_> = boot.all().filter(|event| event.pcr == LOADER_PCR).collect();
    let expected = options.or(events.first().copied());
    let is_other = |event: &&&EventFact<'_>| match &event.fact {
        Fact::CommandLine(text) if event.tie == Tie::Digest => {
            expected.is_some_and(|expected| !expected.is_command_line(text))
        }
        _ => true,
    };
    match events.iter().find(is_other) {
        Some(addition) => Err(PredictError::Addition { line: addition.number, pcr: LOADER_PCR }),
        None => Ok(events),
    }
}

/// Replaces the contents of files. GRUB measures its configuration and each command in it, so the new files must
/// have the same names: only their contents in PCR 9, and the kernel in PCR 4 (once or twice), change.
pub(super) fn replace_grub_files<'i>(
    boot: &LoggedBoot<'_, '_>,
    files: &'i SeparateFiles,
) -> Result<Replacements<'i>, PredictError> {
    boot.starts(files.is_signed)?;
    let started = command_line(boot)?;
    let (kernel_path, present) = started.split_once(' ').unwrap_or((started, ""));
    if present != files.command_line {
        return Err(PredictError::LoaderConfiguration { present: present.to_owned() });
    }
    let kernel_file = file(boot, "the kernel's file", kernel_path)?;
    let initrd_path = initrd_path(boot).ok_or(PredictError::Unmatched("an initrd"))?;
    let initrd_file = file(boot, "the initrd's file", initrd_path)?;
    let mut replacements =
        Replacements::default().by(kernel_file, &files.kernel_file).by(initrd_file, &files.initrd);
    for kernel in boot.images().filter(|event| event.number > kernel_file.number) {
        replacements = replacements.by(kernel, &files.kernel);
    }
    match boot.only("an initrd", |fact| *fact == Fact::Initrd)? {
        Some(event) => Ok(replacements.by(event, &files.initrd)),
        None => Ok(replacements),
    }
}

/// Returns the kernel's path and command line, as GRUB started it.
fn command_line<'f>(boot: &LoggedBoot<'f, '_>) -> Result<&'f str, PredictError> {
    match boot.only("a command line", |fact| matches!(fact, Fact::CommandLine(_)))?.map(|event| &event.fact) {
        Some(Fact::CommandLine(text)) => Ok(text),
        _ => Err(PredictError::UnknownChain),
    }
}

/// Returns the event of the file with this name. Names in PCR 9 are claims; a wrong name only makes the prediction
/// wrong.
fn file<'f, 'a>(
    boot: &LoggedBoot<'f, 'a>,
    what: &'static str,
    path: &str,
) -> Result<&'f EventFact<'a>, PredictError> {
    let is_it = |fact: &Fact<'_>| matches!(fact, Fact::LoadedFile { path: loaded } if is_same(loaded, path));
    boot.only(what, is_it)?.ok_or(PredictError::Unmatched(what))
}

/// Returns the only argument of the command that loads the initrd.
fn initrd_path<'f>(boot: &LoggedBoot<'f, '_>) -> Option<&'f str> {
    boot.all().find_map(|event| match &event.fact {
        Fact::LoaderCommand(command) => {
            command.strip_prefix("initrd ").filter(|path| !path.is_empty() && !path.contains(' '))
        }
        _ => None,
    })
}

/// Compares paths with and without the device in front.
fn is_same(loaded: &str, named: &str) -> bool {
    let without_device = |path: &str| match path.split_once(')') {
        Some((device, rest)) if device.starts_with('(') => rest.to_owned(),
        _ => path.to_owned(),
    };
    without_device(loaded) == without_device(named)
}
