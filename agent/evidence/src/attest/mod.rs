//! Verifies what a TPM states about itself.
//!
//! [`AttestationKey::verify`] is the only constructor of [`VerifiedAttest`], and that is the only source of
//! [`VerifiedQuote`] and [`VerifiedNvPcr`]. All of them rely on the attestation key being in a genuine TPM,
//! which [`crate::credential`] and [`crate::endorsement`] establish.

mod key;
mod verified;

pub use key::{AkError, AttestationKey, KeyError, KeyRole, check_device_bound};
pub use verified::{AttestError, VerifiedAttest, VerifiedNvPcr, VerifiedQuote};
