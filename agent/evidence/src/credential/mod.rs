//! `TPM2_MakeCredential` in software (TPM 2.0 part 1, section 24 and annexes B.10.4 and C.6.3).
//!
//! A secret is encrypted to an endorsement key such that the TPM gives it out only if an object with the
//! stated name, the attestation key, is loaded beside that endorsement key. Who returns the secret has both
//! in one TPM.

mod kdf;
mod seed;
mod wrap;

use rand_core::CryptoRngCore;
use thiserror::Error;

use crate::endorsement::{EkTemplate, EkTemplateError};
use crate::tpm::{Name, Public};

/// The longest secret: the digest of the smallest name algorithm in use.
pub const SECRET_MAX_LEN: usize = 32;

/// A secret for one attestation key in one TPM. Not itself secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The contents of TPM2B_ID_OBJECT, without its outer size.
    pub id_object: Vec<u8>,
    /// The contents of TPM2B_ENCRYPTED_SECRET, without its outer size.
    pub encrypted_secret: Vec<u8>,
}

/// Why there is no credential for an endorsement key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The key is not an endorsement key of a known template.
    #[error("cannot encrypt to this endorsement key: {0}")]
    Template(#[from] EkTemplateError),
    /// The key's numbers do not make a key: a modulus that is too small or even, a point off the curve.
    #[error("the endorsement key's public numbers are not a valid key")]
    InvalidKey,
    /// The secret is empty or too long.
    #[error("a credential holds 1 to 32 bytes of secret")]
    SecretLength,
}

/// Encrypts `secret` to the endorsement key, bound to the name of the attestation key.
///
/// Only a public-key operation happens here, so nothing leaks through timing but what is public anyway.
///
/// # Errors
/// See [`CredentialError`]. Whether the endorsement key is a *genuine* one is decided elsewhere, by
/// [`crate::endorsement::VendorCas`] or by a list of known keys.
pub fn make_credential(
    ek: &Public,
    ak: &Name,
    secret: &[u8],
    rng: &mut impl CryptoRngCore,
) -> Result<Credential, CredentialError> {
    if secret.is_empty() || secret.len() > SECRET_MAX_LEN {
        return Err(CredentialError::SecretLength);
    }
    let template = EkTemplate::of(ek)?;
    let (seed, encrypted_secret) = seed::share(ek, rng)?;
    let id_object = match template {
        EkTemplate::Rsa2048 | EkTemplate::EccP256 => wrap::with_aes128_sha256(&seed, ak, secret)?,
        EkTemplate::EccP384 => wrap::with_aes256_sha384(&seed, ak, secret)?,
    };
    Ok(Credential { id_object, encrypted_secret })
}
