use std::num::NonZeroU16;

use p256::ecdsa::SigningKey;

use super::policy::to_be_signed;
use crate::external_key::ExternalKey;
use crate::tpm::{Name, Public};

/// The control plane's key for authorizations, together with how a TPM knows it.
pub struct AuthorizationKey(ExternalKey);

impl AuthorizationKey {
    /// Takes a key that is used for authorizations and for nothing else.
    pub fn new(signing: SigningKey) -> Self {
        Self(ExternalKey::new(signing))
    }

    /// What the device loads into its TPM.
    pub fn public(&self) -> &Public {
        self.0.public()
    }

    /// The name that is part of the action keys' policies.
    pub fn name(&self) -> Name {
        self.0.public().name()
    }

    /// Allows one command in one policy session; the signature is r ‖ s. The arguments are those of
    /// [`to_be_signed`].
    ///
    /// # Errors
    /// When the signature cannot be computed, which does not happen with a valid key.
    pub fn authorize(
        &self,
        nonce_tpm: &[u8; 32],
        expiration_s: NonZeroU16,
        cp_hash: &[u8; 32],
        policy_ref: &[u8; 32],
    ) -> Result<[u8; 64], p256::ecdsa::Error> {
        self.0.sign(&to_be_signed(nonce_tpm, expiration_s, cp_hash, policy_ref))
    }
}
