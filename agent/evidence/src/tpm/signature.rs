use super::hash::HashAlgorithm;
use super::reader::{ParseError, Reader};

const ALG_SHA256: u16 = 0x000b;
const SCALAR_LEN: usize = 32;

/// An ECDSA signature over P-256 and SHA-256 (TPMT_SIGNATURE), the only kind that Pawl's TPM keys make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    r: [u8; SCALAR_LEN],
    s: [u8; SCALAR_LEN],
}

impl Signature {
    /// Parses a complete TPMT_SIGNATURE.
    ///
    /// # Errors
    /// If bytes are missing or left over, or the signature is of another kind.
    pub fn unmarshal(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        for (field, expected) in [("signature algorithm", ALG_ECDSA), ("signature hash", ALG_SHA256)] {
            let value = reader.u16(field)?;
            if value != expected {
                return Err(ParseError::Unsupported { field, value: value.into() });
            }
        }
        let r = scalar(reader.sized(SCALAR_LEN, "signature r")?);
        let s = scalar(reader.sized(SCALAR_LEN, "signature s")?);
        reader.finish("signature")?;
        Ok(Self { r, s })
    }

    /// Builds the signature from r ‖ s, each big-endian in 32 bytes.
    pub fn from_r_s(r_s: &[u8; 64]) -> Self {
        let (r, s) = r_s.split_at(SCALAR_LEN);
        Self { r: scalar(r), s: scalar(s) }
    }

    /// Returns r ‖ s, each big-endian in 32 bytes, as JOSE and COSE use it.
    pub fn to_r_s(&self) -> [u8; 64] {
        let mut r_s = [0; 64];
        for (to, from) in r_s.iter_mut().zip(self.r.iter().chain(&self.s)) {
            *to = *from;
        }
        r_s
    }

    /// Returns the bytes of TPMT_SIGNATURE.
    pub fn marshal(&self) -> Vec<u8> {
        const SCALAR_SIZE: [u8; 2] = [0, 32];
        let (algorithm, hash) = (ALG_ECDSA.to_be_bytes(), ALG_SHA256.to_be_bytes());
        [&algorithm[..], &hash, &SCALAR_SIZE, &self.r, &SCALAR_SIZE, &self.s].concat()
    }
}

/// Pads on the left: some TPMs omit leading zeros.
fn scalar(bytes: &[u8]) -> [u8; SCALAR_LEN] {
    let mut scalar = [0; SCALAR_LEN];
    for (to, from) in scalar.iter_mut().rev().zip(bytes.iter().rev()) {
        *to = *from;
    }
    scalar
}

const ALG_NULL: u16 = 0x0010;
const ALG_AES: u16 = 0x0006;
const ALG_CFB: u16 = 0x0043;
const ALG_RSASSA: u16 = 0x0014;
const ALG_RSAPSS: u16 = 0x0016;
const ALG_ECDSA: u16 = 0x0018;

/// The cipher with which a storage key protects its children (TPMT_SYM_DEF_OBJECT): always AES in CFB mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SymmetricCipher {
    /// 128-bit key: the low-range endorsement keys.
    Aes128Cfb,
    /// 256-bit key: the high-range P-384 endorsement key.
    Aes256Cfb,
}

/// The signing scheme of a key (TPMT_RSA_SCHEME, TPMT_ECC_SCHEME).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureScheme {
    /// RSASSA-PKCS1-v1_5.
    Rsassa(HashAlgorithm),
    /// RSASSA-PSS.
    RsaPss(HashAlgorithm),
    /// ECDSA.
    Ecdsa(HashAlgorithm),
}

/// An elliptic curve (TPM_ECC_CURVE).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
}

impl Curve {
    /// Returns the size of a coordinate in bytes.
    pub const fn field_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        match reader.u16("elliptic curve")? {
            0x0003 => Ok(Self::P256),
            0x0004 => Ok(Self::P384),
            other => Err(ParseError::Unsupported { field: "elliptic curve", value: other.into() }),
        }
    }
}

impl SymmetricCipher {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, ParseError> {
        match reader.u16("symmetric algorithm")? {
            ALG_NULL => return Ok(None),
            ALG_AES => {}
            other => {
                return Err(ParseError::Unsupported { field: "symmetric algorithm", value: other.into() });
            }
        }
        let bits = reader.u16("symmetric key bits")?;
        let mode = reader.u16("symmetric mode")?;
        match (bits, mode) {
            (128, ALG_CFB) => Ok(Some(Self::Aes128Cfb)),
            (256, ALG_CFB) => Ok(Some(Self::Aes256Cfb)),
            (bits, ALG_CFB) => {
                Err(ParseError::Unsupported { field: "symmetric key bits", value: bits.into() })
            }
            (_, mode) => Err(ParseError::Unsupported { field: "symmetric mode", value: mode.into() }),
        }
    }
}

impl SignatureScheme {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, ParseError> {
        let scheme = match reader.u16("signature scheme")? {
            ALG_NULL => return Ok(None),
            ALG_RSASSA => Self::Rsassa,
            ALG_RSAPSS => Self::RsaPss,
            ALG_ECDSA => Self::Ecdsa,
            other => return Err(ParseError::Unsupported { field: "signature scheme", value: other.into() }),
        };
        let id = reader.u16("hash of the signature scheme")?;
        HashAlgorithm::from_id(id)
            .map(|hash| Some(scheme(hash)))
            .ok_or(ParseError::Unsupported { field: "hash of the signature scheme", value: id.into() })
    }
}

/// Reads a scheme field that must be empty: key derivation of an ECC key, MAC of a sealed object.
pub(super) fn read_null_scheme(reader: &mut Reader<'_>, field: &'static str) -> Result<(), ParseError> {
    match reader.u16(field)? {
        ALG_NULL => Ok(()),
        other => Err(ParseError::Unsupported { field, value: other.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_with_its_leading_zeros_cut_is_padded() {
        let short = [0, 0x18, 0, 0x0b, 0, 1, 7, 0, 2, 8, 9];
        let signature = Signature::unmarshal(&short).unwrap();
        assert_eq!(signature.r[31], 7);
        assert_eq!(signature.s[30..], [8, 9]);
        assert_eq!(Signature::unmarshal(&signature.marshal()), Ok(signature));
        assert_eq!(Signature::from_r_s(&signature.to_r_s()), signature);
    }
}
