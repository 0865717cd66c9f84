use super::chain::{LoggedBoot, is_kernel_section};
use super::error::PredictError;
use super::replacements::Replacements;
use crate::boot_image::UnifiedImage;
use crate::eventlog::facts::Stage;
use crate::eventlog::facts::{Fact, load_options};

/// Returns whether the stub passes on a boot secret (systemd 262). The secret is in the initrd that the kernel
/// measures and differs on each machine, so PCR 9 cannot be predicted. Stubs of that version also measure the
/// SMBIOS table and start the kernel themselves.
pub(super) fn has_boot_secret(boot: &LoggedBoot<'_, '_>) -> bool {
    boot.all().any(|event| event.stage == Stage::Loader && event.fact == Fact::MachineTable)
}

/// The PCRs of what systemd-stub found next to the image and adds to the initrd: command lines and credentials,
/// extensions.
const ADDITIONS_PCRS: [u8; 2] = [12, 13];

/// Replaces the image in PCR 4, the kernel after it if the stub has the firmware load it, and the measurements
/// of the kernel's own stub in PCR 9.
pub(super) fn replace<'i>(
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
