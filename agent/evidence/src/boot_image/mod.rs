//! Computes the measurements of the files of a future boot.
//!
//! The person who has the files seldom has the device's event log. [`BootChange`] contains only digests and a command
//! line, and is small enough to send to the person who has the log; [`crate::eventlog::predict`] computes PCR values
//! from the two.

mod pe;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::tpm::{HashAlgorithm, TaggedDigest};

pub use pe::{ImageError, PeImage};

/// The size limit of a file, in bytes. Unified kernel images have 15 to 150 MB.
pub const IMAGE_MAX_LEN: usize = 512 * 1024 * 1024;

/// The files of a future boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BootChange {
    /// A unified kernel image.
    Unified(Box<UnifiedImage>),
    /// Kernel, initrd and command line, which a boot loader combines.
    Separate(Box<SeparateFiles>),
}

/// The measurements of a kernel with an initrd and a command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SeparateFiles {
    /// The Authenticode digest of the kernel.
    pub(crate) kernel: DigestSet,
    /// The digest of the kernel's file.
    pub(crate) kernel_file: DigestSet,
    pub(crate) initrd: DigestSet,
    pub(crate) command_line: String,
    pub(crate) is_signed: bool,
}

impl BootChange {
    /// Reads a unified kernel image.
    ///
    /// # Errors
    /// As [`UnifiedImage::read`].
    pub fn unified(file: &[u8]) -> Result<Self, ImageError> {
        UnifiedImage::read(file).map(Box::new).map(Self::Unified)
    }

    /// Reads a kernel's and an initrd's file. `command_line` is without the prefix that a boot loader adds.
    ///
    /// # Errors
    /// If the kernel is not an EFI image, or the command line is malformed.
    pub fn separate(kernel: &[u8], initrd: &[u8], command_line: &str) -> Result<Self, ImageError> {
        let image = PeImage::parse(kernel)?;
        if command_line.starts_with(' ') || command_line.chars().any(char::is_control) {
            return Err(ImageError::CommandLine);
        }
        Ok(Self::Separate(Box::new(SeparateFiles {
            kernel: DigestSet::each(|algorithm| image.authenticode(algorithm)),
            kernel_file: DigestSet::of(kernel),
            initrd: DigestSet::of(initrd),
            command_line: command_line.to_owned(),
            is_signed: image.is_signed(),
        })))
    }
}

/// Sections for which some versions of the stub add to the initrd or choose between alternatives.
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
    /// The command line that the stub passes to the kernel.
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

/// The digests of one thing for every bank that a TPM may have.
///
/// As JSON: `{"sha1": "…", "sha256": "…", "sha384": "…", "sha512": "…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct DigestSet([TaggedDigest; HashAlgorithm::ALL.len()]);

/// A set of digests lacks one, or has one that is malformed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a set of digests must have sha1, sha256, sha384 and sha512 in hexadecimal")]
pub struct DigestSetError;

impl DigestSet {
    /// Hashes bytes with every algorithm.
    pub fn of(bytes: &[u8]) -> Self {
        Self::each(|algorithm| algorithm.digest(&[bytes]))
    }

    /// Computes each algorithm's digest. `digest` must return a digest of the given algorithm.
    pub(crate) fn each(digest: impl Fn(HashAlgorithm) -> TaggedDigest) -> Self {
        Self(HashAlgorithm::ALL.map(digest))
    }

    /// Returns the digest for one bank.
    pub fn get(&self, bank: HashAlgorithm) -> Option<&TaggedDigest> {
        self.0.iter().find(|digest| digest.algorithm() == bank)
    }
}

impl From<DigestSet> for BTreeMap<String, String> {
    fn from(set: DigestSet) -> Self {
        set.0.iter().map(|digest| (digest.algorithm().to_string(), digest.to_string())).collect()
    }
}

impl TryFrom<BTreeMap<String, String>> for DigestSet {
    type Error = DigestSetError;

    fn try_from(texts: BTreeMap<String, String>) -> Result<Self, DigestSetError> {
        let read = |algorithm: HashAlgorithm| {
            let bytes = crate::bytes::read_lower_hex(texts.get(algorithm.as_str())?.as_bytes())?;
            TaggedDigest::new(algorithm, &bytes)
        };
        let digests: Option<Vec<TaggedDigest>> = HashAlgorithm::ALL.into_iter().map(read).collect();
        digests.and_then(|digests| digests.try_into().ok()).map(Self).ok_or(DigestSetError)
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

    #[test]
    fn a_digest_set_survives_json_and_is_refused_if_incomplete() {
        let set = DigestSet::of(b"initrd");
        let json = serde_json::to_string(&set).unwrap();
        assert!(json.contains("\"sha384\":\""));
        assert_eq!(serde_json::from_str::<DigestSet>(&json).unwrap(), set);
        assert_eq!(set.get(HashAlgorithm::Sha384), Some(&HashAlgorithm::Sha384.digest(&[b"initrd"])));
        for wrong in [json.replace("sha512", "sha3"), json.replacen(":\"", ":\"0", 1), String::from("{}")] {
            assert!(serde_json::from_str::<DigestSet>(&wrong).is_err(), "{wrong}");
        }
    }
}
