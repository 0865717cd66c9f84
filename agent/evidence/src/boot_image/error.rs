use thiserror::Error;

use super::IMAGE_MAX_LEN;

/// Why the measurements of a file cannot be predicted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file, or one of its sections in memory, is longer than [`IMAGE_MAX_LEN`].
    #[error("the file has or needs {0} bytes, more than the {IMAGE_MAX_LEN} that are read")]
    TooLong(usize),
    /// The file is not a PE image.
    #[error("the file is not an EFI image: it has no PE header")]
    NotPe,
    /// The file is shorter than its headers say.
    #[error("the EFI image is cut off: its {0} lies beyond the end of the file")]
    Truncated(&'static str),
    /// A section that a unified kernel image must have is missing.
    #[error("the EFI image has no section {0}: it is not a unified kernel image")]
    NotUnified(&'static str),
    /// A section makes the stub add to the initrd, or choose between alternatives.
    #[error(
        "the unified kernel image has a section {0}, for which the stub changes what it measures: \
         it cannot be told beforehand"
    )]
    Unpredictable(&'static str),
    /// The command line is not text that all stubs treat alike.
    #[error(
        "the kernel command line must be UTF-8, and must begin neither with a space nor with a control character"
    )]
    CommandLine,
}
