use super::hash::HashAlgorithm;
use super::reader::{ParseError, Reader};

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
