//! Approvals with the SSH keys that people already have.
//!
//! A person approves with an SSHSIG signature ([`Signature`]), made with an SSH key or a FIDO2 security key.
//! [`AllowedSigners`] says whose key it is and when it is valid; [`UserCode`] and [`Confirmation`] connect a person at one
//! screen with a device at another. The crate does not know what is approved: a message is bytes. Start with
//! [`Signature::verify`] and [`AllowedSigners::approver`].
//!
//! The formats are OpenSSH's: PROTOCOL.sshsig, PROTOCOL.u2f, and ALLOWED SIGNERS in ssh-keygen(1). The crate reads them
//! with a bounded reader of its own. The stable version of the crate `ssh-key` refuses one in 256 ECDSA key files: those
//! whose scalar begins with a zero byte.
//!
//! The feature `sign` adds the module `sign`, which has `ssh-keygen` or an ssh-agent make such signatures.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

pub mod allowed_signers;
pub mod code;
pub mod key;
#[cfg(feature = "sign")]
pub mod sign;
pub mod sshsig;
mod wire;

pub use allowed_signers::{AllowedSigners, AllowedSignersError, Approver, Principal, Refusal};
pub use code::{CodeError, Confirmation, UserCode};
pub use key::{Fingerprint, KeyError, PublicKey};
pub use sshsig::{Signature, SignatureError, Touch, VerifiedKey};

/// The SSHSIG namespace of Pawl's approvals. A signature with another namespace is not an approval.
pub const NAMESPACE: &str = "pawl-approval@v1";
