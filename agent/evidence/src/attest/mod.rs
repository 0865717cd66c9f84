//! Whether what a TPM said about itself is true.
//!
//! [`AttestationKey::verify`] is the only way to a [`VerifiedAttest`], and that the only way to a
//! [`VerifiedQuote`] or a [`VerifiedNvPcr`]. All of it rests on the attestation key being in a genuine TPM, which
//! [`crate::credential`] and [`crate::endorsement`] establish.

mod binding;
mod key;
mod verified;

pub use binding::{KeyError, KeyRole, check_device_bound};
pub use key::{AkError, AttestationKey};
pub use verified::{AttestError, VerifiedAttest, VerifiedNvPcr, VerifiedQuote};
