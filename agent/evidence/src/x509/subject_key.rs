use super::der::{Der, OID, SEQUENCE};
use crate::tpm::{Curve, Public, PublicKey, uncompressed_point};

const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// id-RSAES-OAEP, which some vendors put into endorsement certificates.
const RSAES_OAEP: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];

/// The key of a certificate's subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubjectKey {
    Rsa {
        /// Big-endian, without leading zeros.
        modulus: Vec<u8>,
        /// As `modulus`.
        exponent: Vec<u8>,
    },
    Ecc {
        curve: Curve,
        /// SEC 1, uncompressed. It may not be on the curve.
        point: Vec<u8>,
    },
    /// A kind that neither our keys nor known CAs use.
    Other,
}

impl SubjectKey {
    /// Reads the content of SubjectPublicKeyInfo; `None` if it is malformed.
    pub(super) fn read(mut info: Der<'_>) -> Option<Self> {
        let mut algorithm = info.inside(SEQUENCE)?;
        let id = algorithm.expect(OID)?.content;
        let key = info.bit_string()?;
        match id {
            RSA_ENCRYPTION | RSAES_OAEP => {
                let mut numbers = Der::new(key).inside(SEQUENCE)?;
                let modulus = numbers.positive_integer()?.to_vec();
                let exponent = numbers.positive_integer()?.to_vec();
                Some(Self::Rsa { modulus, exponent })
            }
            EC_PUBLIC_KEY => {
                let curve = match algorithm.optional(OID).map(|curve| curve.content) {
                    Some(P256) => Curve::P256,
                    Some(P384) => Curve::P384,
                    _ => return Some(Self::Other),
                };
                Some(Self::Ecc { curve, point: key.to_vec() })
            }
            _ => Some(Self::Other),
        }
    }

    /// Returns whether its signatures can be verified.
    pub(crate) fn can_verify(&self) -> bool {
        match self {
            Self::Rsa { modulus, .. } => (256..=512).contains(&modulus.len()),
            Self::Ecc { .. } => true,
            Self::Other => false,
        }
    }

    /// Returns whether this is the key of a TPM object.
    pub(crate) fn is_key_of(&self, public: &Public) -> bool {
        match (self, public.key()) {
            (Self::Rsa { modulus, exponent }, PublicKey::Rsa { modulus: of_tpm, exponent: small, .. }) => {
                modulus == of_tpm && without_leading_zeros(&small.to_be_bytes()) == exponent.as_slice()
            }
            (Self::Ecc { curve, point }, PublicKey::Ecc { curve: of_tpm, x, y, .. }) => {
                curve == of_tpm && *point == uncompressed_point(*curve, x, y)
            }
            _ => false,
        }
    }
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.split_at_checked(zeros).map(|(_, digits)| digits).unwrap_or_default()
}
