//! The measurement list of Linux's Integrity Measurement Architecture (IMA). The kernel extends each measured
//! file into PCR 10 while the system runs.
//!
//! The list grows continuously. The device therefore reads it *after* the quote, and an [`Aggregate`] finds the
//! prefix that the quoted PCR confirms. Only entries of that prefix are evidence.

mod aggregate;
mod ascii;
mod binary;
mod entry;
mod error;
mod file_digest;
mod measured;
#[cfg(feature = "verifier")]
mod rules;
mod state;
mod template;

pub use aggregate::{Aggregate, Outcome};
pub use ascii::AsciiLog;
pub use binary::BinaryLog;
pub use entry::Entry;
pub use error::ImaError;
pub use file_digest::{FileDigest, FileDigestError, Hashed};
#[cfg(feature = "verifier")]
pub use rules::{Findings, Offender, PathPattern, PatternError, RuleSet, Rules, Signer, SignerError, Why};

/// The PCR that IMA extends.
pub const IMA_PCR: u8 = 10;
