use serde::{Deserialize, Serialize};

use super::digest_set::DigestSet;
use super::error::ImageError;
use super::pe::PeImage;

/// Sections for which the stub, in some versions, adds to the initrd or chooses between alternatives.
const UNPREDICTABLE: [&str; 4] = [".ucode", ".dtbauto", ".profile", ".efifw"];
/// Sections that the stub adds to the initrd as files.
const ADDED: [&str; 2] = [".pcrsig", ".pcrpkey"];

/// The measurements of a unified kernel image (systemd-stub, UAPI specification of unified kernel images).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct UnifiedImage {
    /// The Authenticode digest of the whole image.
    pub(crate) image: DigestSet,
    /// The Authenticode digest of the kernel in it.
    pub(crate) kernel: DigestSet,
    pub(crate) initrd: Option<DigestSet>,
    /// As the stub passes it to the kernel.
    pub(crate) command_line: String,
    pub(crate) is_signed: bool,
    /// Whether the stub adds files to the initrd.
    #[serde(default)]
    pub(crate) adds_to_initrd: bool,
}

impl UnifiedImage {
    /// Reads the image.
    ///
    /// # Errors
    /// If the file is not a unified kernel image, or has a section that changes what the stub measures.
    pub fn read(file: &[u8]) -> Result<Self, ImageError> {
        let image = PeImage::parse(file)?;
        if let Some(name) = UNPREDICTABLE.into_iter().find(|name| image.section(name).is_some()) {
            return Err(ImageError::Unpredictable(name));
        }
        let section = |name| image.section(name).ok_or(ImageError::NotUnified(name));
        let kernel = section(".linux")?;
        let kernel = PeImage::parse(&kernel)?;
        Ok(Self {
            image: DigestSet::each(|algorithm| image.authenticode(algorithm)),
            kernel: DigestSet::each(|algorithm| kernel.authenticode(algorithm)),
            initrd: image.section(".initrd").map(|initrd| DigestSet::of(&initrd)),
            command_line: passed_on(&section(".cmdline")?)?,
            is_signed: image.is_signed(),
            adds_to_initrd: ADDED.into_iter().any(|name| image.section(name).is_some()),
        })
    }
}

/// Converts the section as systemd-stub does: up to the first NUL, spaces for control characters, no trailing
/// spaces. Versions of the stub treat leading spaces differently.
fn passed_on(section: &[u8]) -> Result<String, ImageError> {
    let text = section.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| ImageError::CommandLine)?;
    let spaced: String = text.chars().map(|c| if c <= '\u{1f}' { ' ' } else { c }).collect();
    match spaced.trim_end_matches(' ') {
        text if text.is_empty() || text.starts_with(' ') => Err(ImageError::CommandLine),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_what_the_stub_passes_on() {
        assert_eq!(passed_on(b"root=/dev/sda\tquiet \n\0rest").as_deref(), Ok("root=/dev/sda quiet"));
        for refused in [&b" root=/dev/sda"[..], b"\0", b"root=\xff"] {
            assert_eq!(passed_on(refused), Err(ImageError::CommandLine));
        }
    }
}
