//! The measurement list of Linux's Integrity Measurement Architecture (IMA). The kernel extends each measured
//! file into PCR 10 while the system runs.
//!
//! The list grows continuously. The device therefore reads it *after* the quote, and an [`Aggregate`] finds the
//! prefix that the quoted PCR confirms. Only entries of that prefix are evidence.

mod aggregate;
mod entry;
mod file_digest;
mod log;
#[cfg(feature = "verifier")]
mod rules;

pub use aggregate::{Aggregate, Outcome};
pub use entry::{Entry, ImaError};
pub use file_digest::{FileDigest, FileDigestError, Hashed};
pub use log::{AsciiLog, BinaryLog};
#[cfg(feature = "verifier")]
pub use rules::{Findings, Offender, PathPattern, PatternError, RuleSet, Rules, Signer, SignerError, Why};

/// The PCR that IMA extends.
pub const IMA_PCR: u8 = 10;
