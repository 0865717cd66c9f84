//! Leases: the policies by which the TPM itself decides whether a pairing's keys work.
//!
//! A key's policy names only the control plane's lease key, so it never changes. The present conditions are in a
//! *lease*: [`LeaseTerms`], hashed as the TPM does it and signed with that key. The TPM checks the terms and the
//! signature; no software on the device takes part.

mod key;
mod terms;

#[cfg(feature = "verifier")]
mod signing;

pub use key::{LeaseKeyError, check_lease_key, lease_key_public};
#[cfg(feature = "verifier")]
pub use signing::LeaseKey;
pub use terms::{LeaseTerms, key_policy, link_policy, to_be_signed};
