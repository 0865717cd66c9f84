use serde::{Deserialize, Serialize};

use super::digest_set::DigestSet;
use super::error::ImageError;
use super::pe::PeImage;
use super::unified::UnifiedImage;

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

    /// Reads a kernel's and an initrd's file, and takes the command line without the boot loader's prefix.
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
