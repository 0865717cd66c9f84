use p256::NistP256;
use p256::elliptic_curve::ecdh::EphemeralSecret;
use p256::elliptic_curve::sec1::{EncodedPoint, FromEncodedPoint, ModulusSize, ToEncodedPoint};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize, PublicKey as EcPublicKey};
use p384::NistP384;
use rand_core::CryptoRngCore;
use rsa::{BigUint, Oaep, RsaPublicKey};
use sha2::{Sha256, Sha384};
use zeroize::Zeroizing;

use super::CredentialError;
use super::kdf::kdf_e;
use crate::tpm::{Curve, Public, PublicKey, uncompressed_point};

const LABEL: &str = "IDENTITY";
/// The OAEP label, which includes the trailing zero (TPM 2.0 Library, part 1, annex B.4).
const OAEP_LABEL: &str = "IDENTITY\0";

/// Creates the seed of a credential and encrypts it to the endorsement key. The seed is as long as a digest of
/// the key's name algorithm.
pub(super) fn share(
    ek: &Public,
    rng: &mut impl CryptoRngCore,
) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), CredentialError> {
    match ek.key() {
        PublicKey::Rsa { modulus, exponent, .. } => share_by_rsa(modulus, *exponent, rng),
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

fn share_by_rsa(
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
