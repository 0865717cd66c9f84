//! Approvals by SSH keys, as people already have them.
//!
//! A person approves by an SSHSIG signature ([`Signature`]), made with an SSH key or a FIDO2 security
//! key; [`AllowedSigners`] says whose key it is and when it counts; [`UserCode`] and [`Confirmation`]
//! tie a person at one screen to a device at another. What is approved is not known here: a message is
//! bytes.
//!
//! The formats are OpenSSH's: PROTOCOL.sshsig, PROTOCOL.u2f, and ALLOWED SIGNERS in ssh-keygen(1). They
//! are read by this crate's own bounded reader, and not by the crate `ssh-key`: its stable line refuses
//! the ECDSA key files whose scalar begins with a zero byte, one in 256.
//!
//! The feature `sign` adds the module `sign`: having `ssh-keygen` or an ssh-agent make such
//! signatures.
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

/// The SSHSIG namespace of Pawl's approvals: a signature made for anything else does not count as one.
pub const NAMESPACE: &str = "pawl-approval@v1";
