use std::num::NonZeroU16;

use p256::ecdsa::SigningKey;

use super::policy::to_be_signed;
use crate::external_key::ExternalKey;
use crate::tpm::{Name, Public};

/// The control plane's authorization key, with its TPM public area.
pub struct AuthorizationKey(ExternalKey);

impl AuthorizationKey {
    /// Wraps a key. Use it for authorizations only.
    pub fn new(signing: SigningKey) -> Self {
        Self(ExternalKey::new(signing))
    }

    /// Returns the public area that the device loads into its TPM.
    pub fn public(&self) -> &Public {
        self.0.public()
    }

    /// Returns the name that the action keys' policies contain.
    pub fn name(&self) -> Name {
        self.0.public().name()
    }

    /// Authorizes one command in one policy session; returns r ‖ s. The arguments are those of [`to_be_signed`].
    ///
    /// # Errors
    /// If the signature cannot be computed, which does not happen with a valid key.
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
