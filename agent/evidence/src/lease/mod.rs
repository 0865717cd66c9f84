//! Leases: the policies by which the TPM itself decides whether a pairing's keys may be used.
//!
//! A key's policy names the control plane's lease key and nothing else, so it never changes. What the key's
//! use depends on at the moment is a *lease*: [`LeaseTerms`], hashed as the TPM would and signed by that key.
//! The TPM checks the terms and the signature; no software on the device has a say in it.

mod key;
mod terms;

#[cfg(feature = "verifier")]
mod signing;

pub use key::{LeaseKeyError, check_lease_key, lease_key_public};
#[cfg(feature = "verifier")]
pub use signing::LeaseKey;
pub use terms::{LeaseTerms, key_policy, link_policy, to_be_signed};
