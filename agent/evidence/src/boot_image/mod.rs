//! Files that a device will boot from, and what measuring them will give.
//!
//! The one who has the files is mostly not the one who has the device's event log. [`BootChange`] is what they send
//! each other: digests and a command line, out of which [`crate::eventlog::predict`] makes PCR values.

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

/// The longest file that is read. Unified kernel images have 15 to 150 MB.
pub const IMAGE_MAX_LEN: usize = 512 * 1024 * 1024;
