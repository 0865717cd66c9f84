use super::chain::LoggedBoot;
use super::error::PredictError;
use super::replacements::Replacements;
use crate::boot_image::SeparateFiles;
use crate::eventlog::facts::{EventFact, Fact};

/// Replaces the contents of files. GRUB measures its configuration and each command in it, so the new files must
/// have the same names: only their contents in PCR 9, and the kernel in PCR 4 (once or twice), change.
pub(super) fn replace<'i>(
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

/// Returns the file with this name. Names in PCR 9 are claims; a wrong name only makes the prediction wrong.
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
