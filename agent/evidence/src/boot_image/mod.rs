//! Predicts what booting given files will measure.
//!
//! The person with the files seldom has the device's event log. [`BootChange`] carries digests and a command
//! line from the one to the other; [`crate::eventlog::predict`] computes PCR values from them.

mod change;
mod digest_set;
mod error;
mod pe;
mod unified;

pub use change::{BootChange, SeparateFiles};
pub use digest_set::{DigestSet, DigestSetError};
pub use error::ImageError;
pub use pe::PeImage;
pub use unified::UnifiedImage;

/// The size limit of a file, in bytes. Unified kernel images have 15 to 150 MB.
pub const IMAGE_MAX_LEN: usize = 512 * 1024 * 1024;
