use aes::cipher::{AsyncStreamCipher, BlockCipher, BlockEncryptMut, KeyInit, KeyIvInit as _};
use aes::{Aes128, Aes256};
use hmac::digest::Digest;
use hmac::digest::core_api::BlockSizeUser;
use hmac::{Mac, SimpleHmac};
use sha2::{Sha256, Sha384};
use zeroize::Zeroizing;

use super::CredentialError;
use super::kdf::kdf_a;
use crate::tpm::Name;

/// One AES block.
const ZERO_IV: [u8; 16] = [0; 16];

pub(super) fn with_aes128_sha256(seed: &[u8], ak: &Name, secret: &[u8]) -> Result<Vec<u8>, CredentialError> {
    wrap::<Aes128, Sha256>(seed, ak, secret)
}

pub(super) fn with_aes256_sha384(seed: &[u8], ak: &Name, secret: &[u8]) -> Result<Vec<u8>, CredentialError> {
    wrap::<Aes256, Sha384>(seed, ak, secret)
}

/// Builds TPMS_ID_OBJECT: an HMAC over the encrypted secret and the name, then the encrypted secret (TPM 2.0
/// Library, part 1, sections 24.4 and 24.5).
fn wrap<C, H>(seed: &[u8], ak: &Name, secret: &[u8]) -> Result<Vec<u8>, CredentialError>
where
    C: BlockEncryptMut + BlockCipher + KeyInit,
    H: Digest + BlockSizeUser,
{
    let encrypted = encrypt::<C, H>(seed, ak, secret)?;
    let digest_len = <H as Digest>::output_size();
    let key = kdf_a::<H>(seed, "INTEGRITY", &[], digest_len)?;
    let mac = <SimpleHmac<H> as Mac>::new_from_slice(&key)
        .map_err(|_| CredentialError::InvalidKey)?
        .chain_update(&encrypted)
        .chain_update(ak.as_bytes())
        .finalize()
        .into_bytes();
    let mut id_object = sized(&mac)?;
    id_object.extend(encrypted);
    Ok(id_object)
}

fn encrypt<C, H>(seed: &[u8], ak: &Name, secret: &[u8]) -> Result<Vec<u8>, CredentialError>
where
    C: BlockEncryptMut + BlockCipher + KeyInit,
    H: Digest + BlockSizeUser,
{
    let key = kdf_a::<H>(seed, "STORAGE", ak.as_bytes(), C::key_size())?;
    let cipher =
        cfb_mode::Encryptor::<C>::new_from_slices(&key, &ZERO_IV).map_err(|_| CredentialError::InvalidKey)?;
    let mut buffer = Zeroizing::new(sized(secret)?);
    cipher.encrypt(&mut buffer);
    Ok(buffer.to_vec())
}

/// Marshals a TPM2B: a 16-bit size, then the bytes.
fn sized(bytes: &[u8]) -> Result<Vec<u8>, CredentialError> {
    let size = u16::try_from(bytes.len()).map_err(|_| CredentialError::SecretLength)?;
    Ok([&size.to_be_bytes()[..], bytes].concat())
}
