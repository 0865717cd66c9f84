use super::chain::LoggedBoot;
use super::error::PredictError;
use super::replacements::Replacements;
use crate::boot_image::SeparateFiles;
use crate::eventlog::facts::{EventFact, Fact, Tie, load_options};

/// Where systemd-boot measures the command line that it passes to the kernel.
const LOADER_PCR: u8 = 12;

/// PCR 4 ends with the kernel, PCR 9 has what its stub measures, and PCR 12 what systemd-boot passed on. Not every
/// kernel measures the command line; then it has to stand in PCR 12.
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

/// The events of PCR 12, all of which must be of the present command line: it is measured twice if systemd-boot
/// starts a stub.
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
