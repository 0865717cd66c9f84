//! `TPM2_MakeCredential` in software (TPM 2.0 Library, part 1, section 24 and annexes B.10.4 and C.6.3).
//!
//! The secret is encrypted to an endorsement key. The TPM returns it only if the attestation key with the stated
//! name is loaded in the same TPM. A device that returns the secret has proved that it has both keys in one TPM.

mod kdf;
mod seed;
mod wrap;

use pawl_proto::bounded::TooLong;
use pawl_proto::message::Credential;
use rand_core::CryptoRngCore;
use thiserror::Error;

use crate::endorsement::{EkTemplate, EkTemplateError};
use crate::tpm::{Name, Public};

/// The longest secret, in bytes: a digest of the smallest name algorithm in use.
pub const SECRET_MAX_LEN: usize = 32;

/// Why no credential can be made for an endorsement key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The key does not have a known endorsement key template.
    #[error("cannot encrypt to this endorsement key: {0}")]
    Template(#[from] EkTemplateError),
    /// The key's numbers are not a valid key: the modulus is too small or even, or the point is not on the
    /// curve.
    #[error("the endorsement key's public numbers are not a valid key")]
    InvalidKey,
    /// The secret is empty or too long.
    #[error("a credential holds 1 to 32 bytes of secret")]
    SecretLength,
    /// A result is too long for a message, which no known endorsement key template gives.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// Encrypts `secret` to the endorsement key, bound to the name of the attestation key.
///
/// This is a public-key operation; timing leaks only public values.
///
/// # Errors
/// [`CredentialError`] says what is wrong with the key or the secret. Whether the endorsement key is *genuine*
/// is decided by [`crate::endorsement::VendorCas`] or by a list of known keys.
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
    Ok(Credential { id_object: id_object.try_into()?, secret: encrypted_secret.try_into()? })
}
