use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::public::{Public, PublicKey};
use super::signature::Curve;

/// A sealed object is not a key and has no SubjectPublicKeyInfo.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a sealed object has no public key to write as SubjectPublicKeyInfo")]
pub struct NoSpki;

impl Public {
    /// Returns the key as SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in DER.
    ///
    /// # Errors
    /// If the object is sealed data.
    pub fn to_spki_der(&self) -> Result<Vec<u8>, NoSpki> {
        match self.key() {
            PublicKey::Rsa { exponent, modulus, .. } => Ok(rsa_spki(modulus, *exponent)),
            PublicKey::Ecc { curve, x, y, .. } => Ok(ecc_spki(*curve, x, y)),
            PublicKey::KeyedHash { .. } => Err(NoSpki),
        }
    }

    /// Returns the key as PEM that OpenSSL and tpm2-tools read.
    ///
    /// # Errors
    /// If the object is sealed data.
    pub fn to_spki_pem(&self) -> Result<String, NoSpki> {
        let encoded = STANDARD.encode(self.to_spki_der()?);
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for (position, character) in encoded.chars().enumerate() {
            if position > 0 && position % 64 == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str("\n-----END PUBLIC KEY-----\n");
        Ok(pem)
    }
}

/// Returns an uncompressed SEC 1 point, with coordinates padded to the field's length.
pub fn uncompressed_point(curve: Curve, x: &[u8], y: &[u8]) -> Vec<u8> {
    let mut point = vec![0x04];
    for coordinate in [x, y] {
        let padding = curve.field_len().saturating_sub(coordinate.len());
        point.extend(std::iter::repeat_n(0, padding));
        point.extend_from_slice(coordinate);
    }
    point
}

fn ecc_spki(curve: Curve, x: &[u8], y: &[u8]) -> Vec<u8> {
    const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    let curve_oid: &[u8] = match curve {
        Curve::P256 => &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
        Curve::P384 => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22],
    };
    let algorithm = tlv(0x30, &[EC_PUBLIC_KEY, curve_oid]);
    let key = tlv(0x03, &[&[0], &uncompressed_point(curve, x, y)]);
    tlv(0x30, &[&algorithm, &key])
}

fn rsa_spki(modulus: &[u8], exponent: u32) -> Vec<u8> {
    const RSA_ENCRYPTION_NULL: &[u8] =
        &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let algorithm = tlv(0x30, &[RSA_ENCRYPTION_NULL]);
    let key = tlv(0x30, &[&integer(modulus), &integer(&exponent.to_be_bytes())]);
    let key = tlv(0x03, &[&[0], &key]);
    tlv(0x30, &[&algorithm, &key])
}

/// Encodes big-endian bytes as a positive INTEGER.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let (_, digits) = bytes.split_at_checked(zeros).unwrap_or_default();
    match digits.first() {
        Some(first) if first & 0x80 == 0 => tlv(0x02, &[digits]),
        _ => tlv(0x02, &[&[0], digits]),
    }
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut element = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length @ 0..=0x7f) => element.push(length),
        Ok(length) => element.extend([0x81, length]),
        Err(_) => {
            // The longest key is RSA-4096 with under 600 bytes, so the length fits.
            element.push(0x82);
            element.extend(u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    element.extend(content);
    element
}
