//! Assurances: what a TPM signs for one protected action, once, because the control plane let it.
//!
//! The action key of a pairing signs in its epoch alone ([`action_policy`]: PolicyNV), and only what the control
//! plane's authorization key allows (PolicySigned). An authorization is over the `nonceTPM` of one policy session,
//! the hash of one `TPM2_Sign` command and an expiration ([`to_be_signed`]): it is good in one TPM, for one digest,
//! for some seconds, once. The control plane also writes what the digest is of: the [`SigningInput`] of a JWS
//! (RFC 7515), whose [`Claims`] say which action of which device was let, why and by whom.
//!
//! `verify` checks such a JWS without a TPM, without the control plane and without a network.

mod claims;
mod error;
mod hex;
mod policy;
mod signing_input;

#[cfg(feature = "verifier")]
mod certificate;
#[cfg(feature = "verifier")]
mod key;
#[cfg(feature = "verifier")]
mod verify;

#[cfg(feature = "verifier")]
pub use certificate::{ASSURANCE_EKU, ASSURANCE_EKU_EXTENSION};
pub use claims::{ActionClaims, Approved, Approver, Claims, Expected};
pub use error::AssuranceError;
#[cfg(feature = "verifier")]
pub use key::AuthorizationKey;
pub use policy::{action_policy, cp_hash_of_sign, to_be_signed};
pub use signing_input::{ASSURANCE_MAX_LEN, ASSURANCE_TYPE, SigningInput};
#[cfg(feature = "verifier")]
pub use verify::{Assurance, verify};
