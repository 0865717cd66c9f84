//! `TPM2_MakeCredential` in software (TPM 2.0 Library, part 1, section 24 and annexes B.10.4 and C.6.3).
//!
//! The secret is encrypted to an endorsement key. The TPM returns it only if the attestation key with the stated
//! name is loaded in the same TPM. A device that returns the secret has proved that it has both keys in one TPM.

use aes::cipher::{AsyncStreamCipher, BlockCipher, BlockEncryptMut, KeyInit, KeyIvInit as _};
use aes::{Aes128, Aes256};
use hmac::digest::Digest;
use hmac::digest::core_api::BlockSizeUser;
use hmac::{Mac, SimpleHmac};
use p256::NistP256;
use p256::elliptic_curve::ecdh::EphemeralSecret;
use p256::elliptic_curve::sec1::{EncodedPoint, FromEncodedPoint, ModulusSize, ToEncodedPoint};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize, PublicKey as EcPublicKey};
use p384::NistP384;
use pawl_proto::bounded::TooLong;
use pawl_proto::message::Credential;
use rand_core::CryptoRngCore;
use rsa::{BigUint, Oaep, RsaPublicKey};
use sha2::{Sha256, Sha384};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::endorsement::{EkTemplate, EkTemplateError};
use crate::tpm::{Curve, Name, Public, PublicKey, uncompressed_point};

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
    /// A result is too long for a message, which does not happen with a known endorsement key template.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// Encrypts `secret` to the endorsement key, bound to the name of the attestation key.
///
/// This is a public-key operation; timing leaks only public values.
///
/// # Errors
/// [`CredentialError`] says what is wrong with the key or the secret. This function does not check whether the
/// endorsement key is *genuine*: [`crate::endorsement::VendorCas`] or a list of known keys does.
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
    let (seed, encrypted_secret) = share_seed(ek, rng)?;
    let id_object = match template {
        EkTemplate::Rsa2048 | EkTemplate::EccP256 => wrap_with_aes128_sha256(&seed, ak, secret)?,
        EkTemplate::EccP384 => wrap_with_aes256_sha384(&seed, ak, secret)?,
    };
    Ok(Credential { id_object: id_object.try_into()?, secret: encrypted_secret.try_into()? })
}

const LABEL: &str = "IDENTITY";
/// The OAEP label, which includes the trailing zero (TPM 2.0 Library, part 1, annex B.4).
const OAEP_LABEL: &str = "IDENTITY\0";

/// Creates the seed of a credential and encrypts it to the endorsement key. The seed is as long as a digest of
/// the key's name algorithm.
fn share_seed(
    ek: &Public,
    rng: &mut impl CryptoRngCore,
) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), CredentialError> {
    match ek.key() {
        PublicKey::Rsa { modulus, exponent, .. } => share_seed_by_rsa(modulus, *exponent, rng),
        PublicKey::Ecc { curve: Curve::P256, x, y, .. } => {
            let agreed = agree::<NistP256>(&uncompressed_point(Curve::P256, x, y), rng)?;
            let seed = kdf_e::<Sha256>(&agreed.z, LABEL, &agreed.ephemeral_x, &agreed.static_x, 32);
            Ok((seed, agreed.encrypted_secret()))
        }
        PublicKey::Ecc { curve: Curve::P384, x, y, .. } => {
            let agreed = agree::<NistP384>(&uncompressed_point(Curve::P384, x, y), rng)?;
            let seed = kdf_e::<Sha384>(&agreed.z, LABEL, &agreed.ephemeral_x, &agreed.static_x, 48);
            Ok((seed, agreed.encrypted_secret()))
        }
        PublicKey::KeyedHash { .. } => Err(CredentialError::InvalidKey),
    }
}

fn share_seed_by_rsa(
    modulus: &[u8],
    exponent: u32,
    rng: &mut impl CryptoRngCore,
) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), CredentialError> {
    // Every product of two primes of half the length is this long; the arithmetic may panic on other moduli.
    let full_length = modulus.first().is_some_and(|byte| byte & 0x80 != 0);
    let odd = modulus.last().is_some_and(|byte| byte & 1 == 1);
    if !full_length || !odd {
        return Err(CredentialError::InvalidKey);
    }
    let key = RsaPublicKey::new(BigUint::from_bytes_be(modulus), BigUint::from(exponent))
        .map_err(|_| CredentialError::InvalidKey)?;
    let mut seed = Zeroizing::new(vec![0; 32]);
    rng.fill_bytes(&mut seed);
    let padding = Oaep::new_with_label::<Sha256, _>(OAEP_LABEL);
    let encrypted = key.encrypt(rng, padding, &seed).map_err(|_| CredentialError::InvalidKey)?;
    Ok((seed, encrypted))
}

/// The result of one-pass elliptic curve Diffie-Hellman, known to both ends.
struct Agreed {
    z: Zeroizing<Vec<u8>>,
    static_x: Vec<u8>,
    ephemeral_x: Vec<u8>,
    ephemeral_y: Vec<u8>,
}

fn agree<C>(ek_point: &[u8], rng: &mut impl CryptoRngCore) -> Result<Agreed, CredentialError>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
{
    let key = EcPublicKey::<C>::from_sec1_bytes(ek_point).map_err(|_| CredentialError::InvalidKey)?;
    let ephemeral = EphemeralSecret::<C>::random(rng);
    let shared = ephemeral.diffie_hellman(&key);
    let (static_x, _) = coordinates::<C>(&key.to_encoded_point(false))?;
    let (ephemeral_x, ephemeral_y) = coordinates::<C>(&ephemeral.public_key().to_encoded_point(false))?;
    let z = Zeroizing::new(shared.raw_secret_bytes().to_vec());
    Ok(Agreed { z, static_x, ephemeral_x, ephemeral_y })
}

fn coordinates<C>(point: &EncodedPoint<C>) -> Result<(Vec<u8>, Vec<u8>), CredentialError>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
{
    match (point.x(), point.y()) {
        (Some(x), Some(y)) => Ok((x.to_vec(), y.to_vec())),
        _ => Err(CredentialError::InvalidKey),
    }
}

impl Agreed {
    /// Returns the ephemeral point as TPMS_ECC_POINT.
    fn encrypted_secret(&self) -> Vec<u8> {
        let mut point = Vec::new();
        for coordinate in [&self.ephemeral_x, &self.ephemeral_y] {
            // A coordinate has 32 or 48 bytes, so the conversion cannot fail.
            point.extend([0, u8::try_from(coordinate.len()).unwrap_or(u8::MAX)]);
            point.extend(coordinate);
        }
        point
    }
}

/// One AES block.
const ZERO_IV: [u8; 16] = [0; 16];

fn wrap_with_aes128_sha256(seed: &[u8], ak: &Name, secret: &[u8]) -> Result<Vec<u8>, CredentialError> {
    wrap_secret::<Aes128, Sha256>(seed, ak, secret)
}

fn wrap_with_aes256_sha384(seed: &[u8], ak: &Name, secret: &[u8]) -> Result<Vec<u8>, CredentialError> {
    wrap_secret::<Aes256, Sha384>(seed, ak, secret)
}

/// Builds TPMS_ID_OBJECT: an HMAC over the encrypted secret and the name, then the encrypted secret (TPM 2.0
/// Library, part 1, sections 24.4 and 24.5).
fn wrap_secret<C, H>(seed: &[u8], ak: &Name, secret: &[u8]) -> Result<Vec<u8>, CredentialError>
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
    let mut id_object = tpm2b(&mac)?;
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
    let mut buffer = Zeroizing::new(tpm2b(secret)?);
    cipher.encrypt(&mut buffer);
    Ok(buffer.to_vec())
}

/// Marshals a TPM2B: a 16-bit size, then the bytes.
fn tpm2b(bytes: &[u8]) -> Result<Vec<u8>, CredentialError> {
    let size = u16::try_from(bytes.len()).map_err(|_| CredentialError::SecretLength)?;
    Ok([&size.to_be_bytes()[..], bytes].concat())
}

/// KDFa (TPM 2.0 Library, part 1, section 11.4.10.2): SP 800-108 counter mode over HMAC. Returns `len` bytes.
///
/// `label` has no trailing zero: the separator that follows serves as both.
fn kdf_a<H: Digest + BlockSizeUser>(
    key: &[u8],
    label: &str,
    context: &[u8],
    len: usize,
) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let bits = bit_length(len)?;
    let mut output = Zeroizing::new(Vec::with_capacity(len));
    for counter in 1_u32.. {
        let mac = <SimpleHmac<H> as Mac>::new_from_slice(key)
            .map_err(|_| CredentialError::InvalidKey)?
            .chain_update(counter.to_be_bytes())
            .chain_update(label)
            .chain_update([0])
            .chain_update(context)
            .chain_update(bits);
        let block = Zeroizing::new(mac.finalize().into_bytes().to_vec());
        if append(&mut output, &block, len) {
            break;
        }
    }
    Ok(output)
}

/// KDFe (TPM 2.0 Library, part 1, section 11.4.10.3): SP 800-56A concatenation. Returns `len` bytes. `z`,
/// `party_u` and `party_v` are x coordinates as long as the curve's field.
fn kdf_e<H: Digest>(z: &[u8], label: &str, party_u: &[u8], party_v: &[u8], len: usize) -> Zeroizing<Vec<u8>> {
    let mut output = Zeroizing::new(Vec::with_capacity(len));
    for counter in 1_u32.. {
        let hash = H::new()
            .chain_update(counter.to_be_bytes())
            .chain_update(z)
            .chain_update(label)
            .chain_update([0])
            .chain_update(party_u)
            .chain_update(party_v);
        let block = Zeroizing::new(hash.finalize().to_vec());
        if append(&mut output, &block, len) {
            break;
        }
    }
    output
}

/// Appends at most `len - output.len()` bytes of `block`; returns whether `output` has reached `len`.
fn append(output: &mut Vec<u8>, block: &[u8], len: usize) -> bool {
    let missing = len.saturating_sub(output.len());
    output.extend(block.iter().take(missing));
    output.len() >= len
}

fn bit_length(len: usize) -> Result<[u8; 4], CredentialError> {
    u32::try_from(len)
        .ok()
        .and_then(|len| len.checked_mul(8))
        .map(u32::to_be_bytes)
        .ok_or(CredentialError::InvalidKey)
}
