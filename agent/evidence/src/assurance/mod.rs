//! Assurances: statements that a TPM signs for one protected action, once, with the control plane's
//! authorization.
//!
//! The action key of a pairing works only in its epoch ([`action_policy`]: PolicyNV), and signs only what the
//! control plane's authorization key allows (PolicySigned). An authorization covers the `nonceTPM` of one policy
//! session, the hash of one `TPM2_Sign` command and an expiration ([`to_be_signed`]): it works in one TPM, for
//! one digest, for some seconds, once. The control plane also composes the signed text, the [`SigningInput`] of
//! a JWS (RFC 7515). Its [`Claims`] name the device, the approved action and the approvers.
//!
//! [`verify`](verify()) checks such a JWS without a TPM, without the control plane and without a network.

mod claims;
mod policy;
mod signing_input;
#[cfg(feature = "verifier")]
mod verify;

pub use claims::{ASSURANCE_MAX_LEN, ActionClaims, Approved, Approver, AssuranceError, Claims, Expected};
#[cfg(feature = "verifier")]
pub use policy::AuthorizationKey;
pub use policy::{action_policy, cp_hash_of_sign, to_be_signed};
pub use signing_input::{ASSURANCE_TYPE, SigningInput};
#[cfg(feature = "verifier")]
pub use verify::{ASSURANCE_EKU, ASSURANCE_EKU_EXTENSION, Assurance, verify};
