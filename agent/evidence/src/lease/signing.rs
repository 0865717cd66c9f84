use p256::ecdsa::SigningKey;

use super::terms::{LeaseTerms, to_be_signed};
use crate::external_key::ExternalKey;
use crate::tpm::{Name, Public};

/// The control plane's lease key, with its TPM public area.
pub struct LeaseKey(ExternalKey);

impl LeaseKey {
    /// Wraps a key. Use it for leases only.
    pub fn new(signing: SigningKey) -> Self {
        Self(ExternalKey::new(signing))
    }

    /// Returns the public area that the device loads into its TPM.
    pub fn public(&self) -> &Public {
        self.0.public()
    }

    /// Returns the name that the keys' policies contain.
    pub fn name(&self) -> Name {
        self.0.public().name()
    }

    /// Signs a lease for the pairing with this `policy_ref`; returns r ‖ s.
    ///
    /// # Errors
    /// If the signature cannot be computed, which does not happen with a valid key.
    pub fn sign(&self, terms: &LeaseTerms, policy_ref: &[u8; 32]) -> Result<[u8; 64], p256::ecdsa::Error> {
        self.0.sign(&to_be_signed(&terms.approved_policy(), policy_ref))
    }
}
