use std::num::NonZeroU16;

#[cfg(feature = "verifier")]
use p256::ecdsa::SigningKey;

#[cfg(feature = "verifier")]
use crate::lease::ExternalKey;
#[cfg(feature = "verifier")]
use crate::tpm::Public;
use crate::tpm::{Comparison, Name, PolicyDigest, sha256};

const CC_SIGN: u32 = 0x0000_015d;
const ALG_NULL: u16 = 0x0010;
const ST_HASHCHECK: u16 = 0x8024;
const RH_NULL: u32 = 0x4000_0007;

/// Returns the `authPolicy` of the action key: the epoch is current, and the control plane authorizes this use
/// for this pairing.
pub fn action_policy(
    counter: &Name,
    epoch: u64,
    authorization_key: &Name,
    policy_ref: &[u8; 32],
) -> [u8; 32] {
    PolicyDigest::new()
        .nv(counter, &epoch.to_be_bytes(), 0, Comparison::Equal)
        .signed(authorization_key, policy_ref)
        .finish()
}

/// Returns `cpHashA` of the only command that an authorization allows: `TPM2_Sign` by the key with this name
/// over `digest`, with the key's own scheme and the empty ticket that unrestricted keys take (TPM 2.0 Library,
/// part 1, section 16.7; part 3, section 20.2).
pub fn cp_hash_of_sign(action_key: &Name, digest: &[u8; 32]) -> [u8; 32] {
    const DIGEST_SIZE: [u8; 2] = [0, 32];
    const EMPTY: [u8; 2] = [0, 0];
    sha256(&[
        &CC_SIGN.to_be_bytes(),
        action_key.as_bytes(),
        &DIGEST_SIZE,
        digest,
        &ALG_NULL.to_be_bytes(),
        &ST_HASHCHECK.to_be_bytes(),
        &RH_NULL.to_be_bytes(),
        &EMPTY,
    ])
}

/// Returns the digest that the authorization key signs: `aHash` of `TPM2_PolicySigned` (TPM 2.0 Library, part 3,
/// section 23.3).
///
/// The authorization ends `expiration_s` seconds after the TPM opened the session. The type excludes zero, which
/// never expires, and negative numbers, for which the TPM returns a reusable ticket.
pub fn to_be_signed(
    nonce_tpm: &[u8; 32],
    expiration_s: NonZeroU16,
    cp_hash: &[u8; 32],
    policy_ref: &[u8; 32],
) -> [u8; 32] {
    let expiration = i32::from(expiration_s.get()).to_be_bytes();
    sha256(&[nonce_tpm, &expiration, cp_hash, policy_ref])
}

/// The control plane's authorization key, with its TPM public area.
#[cfg(feature = "verifier")]
pub struct AuthorizationKey(ExternalKey);

#[cfg(feature = "verifier")]
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
