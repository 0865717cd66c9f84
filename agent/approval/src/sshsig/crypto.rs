//! Verifies the inner signature, which has one format per key type.

use p521::ecdsa::signature::Verifier as _;
use ring::signature;
use ring::signature::{RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use sha2::{Digest as _, Sha256};

use super::Touch;
use super::format::SignatureError;
use crate::key::KeyKind;
use crate::wire::{Reader, left_padded};

/// Bit 0 of the authenticator's flags: somebody was present (Web Authentication, section 6.1).
const USER_PRESENT: u8 = 0x01;

/// Checks that the key made `signature` over `signed`.
pub(super) fn verify(
    key: &KeyKind,
    signature: &[u8],
    signed: &[u8],
    touch: Touch,
) -> Result<(), SignatureError> {
    let mut reader = Reader::new(signature);
    let (Some(algorithm), Some(value)) = (reader.name(), reader.string()) else {
        return Err(SignatureError::Malformed);
    };
    let is_valid = match key {
        KeyKind::SkEd25519 { application, .. } | KeyKind::SkEcdsaP256 { application, .. } => {
            expect(algorithm, key)?;
            let by = Authenticator::read(reader).ok_or(SignatureError::Malformed)?;
            if touch == Touch::Require && by.flags & USER_PRESENT == 0 {
                return Err(SignatureError::Untouched);
            }
            verify_plain(key, value, &by.signed(application, signed))
        }
        KeyKind::Rsa { modulus, exponent } => {
            reader.end().ok_or(SignatureError::Malformed)?;
            verify_rsa(modulus, exponent, rsa_scheme(algorithm)?, value, signed)
        }
        _ => {
            expect(algorithm, key)?;
            reader.end().ok_or(SignatureError::Malformed)?;
            verify_plain(key, value, signed)
        }
    };
    is_valid.ok_or(SignatureError::Invalid)
}

/// What a security key adds to its signature (PROTOCOL.u2f).
struct Authenticator {
    flags: u8,
    counter: u32,
}

impl Authenticator {
    fn read(mut reader: Reader<'_>) -> Option<Self> {
        let read = Self { flags: reader.u8()?, counter: reader.u32()? };
        reader.end().map(|()| read)
    }

    /// Returns what it signed, which includes flags and counter.
    fn signed(&self, application: &str, message: &[u8]) -> Vec<u8> {
        let application: [u8; 32] = Sha256::digest(application).into();
        let message: [u8; 32] = Sha256::digest(message).into();
        [&application[..], &[self.flags], &self.counter.to_be_bytes(), &message].concat()
    }
}

fn expect(algorithm: &str, key: &KeyKind) -> Result<(), SignatureError> {
    if algorithm == key.name() {
        Ok(())
    } else if algorithm.starts_with("webauthn-sk-") {
        Err(SignatureError::WebAuthn)
    } else {
        Err(SignatureError::Algorithm { key: key.name(), signature: algorithm.to_owned() })
    }
}

/// Returns the RSA scheme of a signature algorithm (RFC 8332).
fn rsa_scheme(algorithm: &str) -> Result<&'static signature::RsaParameters, SignatureError> {
    match algorithm {
        "rsa-sha2-512" => Ok(&signature::RSA_PKCS1_2048_8192_SHA512),
        "rsa-sha2-256" => Ok(&signature::RSA_PKCS1_2048_8192_SHA256),
        "ssh-rsa" => Err(SignatureError::Sha1),
        _ => Err(SignatureError::Algorithm { key: "ssh-rsa", signature: algorithm.to_owned() }),
    }
}

fn verify_rsa(
    modulus: &[u8],
    exponent: &[u8],
    scheme: &'static signature::RsaParameters,
    value: &[u8],
    signed: &[u8],
) -> Option<()> {
    // Some agents omit leading zeros, which RFC 8332, section 3, requires.
    let mut padded = vec![0; modulus.len().checked_sub(value.len())?];
    padded.extend_from_slice(value);
    RsaPublicKeyComponents { n: modulus, e: exponent }.verify(scheme, signed, &padded).ok()
}

fn verify_plain(key: &KeyKind, value: &[u8], signed: &[u8]) -> Option<()> {
    match key {
        KeyKind::Ed25519 { key } | KeyKind::SkEd25519 { key, .. } => {
            verify_by_ring(&signature::ED25519, key, value, signed)
        }
        KeyKind::EcdsaP256 { point } | KeyKind::SkEcdsaP256 { point, .. } => {
            let value = fixed::<32>(value)?;
            verify_by_ring(&signature::ECDSA_P256_SHA256_FIXED, point, &value, signed)
        }
        KeyKind::EcdsaP384 { point } => {
            let value = fixed::<48>(value)?;
            verify_by_ring(&signature::ECDSA_P384_SHA384_FIXED, point, &value, signed)
        }
        KeyKind::EcdsaP521 { point } => {
            let value = p521::ecdsa::Signature::from_slice(&fixed::<66>(value)?).ok()?;
            let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
            key.verify(signed, &value).ok()
        }
        KeyKind::Rsa { .. } => None,
    }
}

fn verify_by_ring(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    value: &[u8],
    signed: &[u8],
) -> Option<()> {
    UnparsedPublicKey::new(algorithm, key).verify(signed, value).ok()
}

/// Returns r and s, two `mpint`s (RFC 5656, section 3.1.2), as two numbers of `N` bytes.
fn fixed<const N: usize>(value: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(value);
    let (r, s) = (reader.positive()?, reader.positive()?);
    reader.end()?;
    Some([left_padded::<N>(r)?, left_padded::<N>(s)?].concat())
}
