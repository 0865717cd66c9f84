use super::chain::LoggedBoot;
use super::error::PredictError;
use super::replacements::Replacements;
use crate::boot_image::SeparateFiles;
use crate::eventlog::facts::{EventFact, Fact, Tie, load_options};

/// The PCR of the command line that systemd-boot passes to the kernel.
const LOADER_PCR: u8 = 12;

/// Replaces the kernel at the end of PCR 4, its stub's measurements in PCR 9, and the command line that
/// systemd-boot passed on in PCR 12. Not every kernel measures the command line; otherwise it must be in PCR 12.
pub(super) fn replace<'i>(
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
