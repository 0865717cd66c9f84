use p256::ecdsa::SigningKey;

use super::terms::{LeaseTerms, to_be_signed};
use crate::external_key::ExternalKey;
use crate::tpm::{Name, Public};

/// The control plane's key for leases, together with how a TPM knows it.
pub struct LeaseKey(ExternalKey);

impl LeaseKey {
    /// Takes a key that is used for leases and for nothing else.
    pub fn new(signing: SigningKey) -> Self {
        Self(ExternalKey::new(signing))
    }

    /// What the device loads into its TPM.
    pub fn public(&self) -> &Public {
        self.0.public()
    }

    /// The name that is part of the keys' policies.
    pub fn name(&self) -> Name {
        self.0.public().name()
    }

    /// Signs a lease for the pairing that `policy_ref` stands for; the signature is r ‖ s.
    ///
    /// # Errors
    /// When the signature cannot be computed, which does not happen with a valid key.
    pub fn sign(&self, terms: &LeaseTerms, policy_ref: &[u8; 32]) -> Result<[u8; 64], p256::ecdsa::Error> {
        self.0.sign(&to_be_signed(&terms.approved_policy(), policy_ref))
    }
}
