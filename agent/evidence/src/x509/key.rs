//! Public keys of certificates, and the signatures that they verify.

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use sha2::{Sha256, Sha384, Sha512};

use super::der::{BIT_STRING, Der, OID, SEQUENCE};
use crate::tpm::{Curve, HashAlgorithm, Public, PublicKey, uncompressed_point};

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

/// A SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKeyInfo {
    whole: Vec<u8>,
    bits: Vec<u8>,
    key: SubjectKey,
}

impl PublicKeyInfo {
    /// Returns `None` if it is malformed.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let mut outer = Der::new(der);
        let info = outer.inside(SEQUENCE).filter(|_| outer.is_empty())?;
        let mut fields = info.clone();
        fields.expect(SEQUENCE)?;
        let (_unused_bits, bits) = fields.expect(BIT_STRING)?.content.split_first()?;
        Some(Self { whole: der.to_vec(), bits: bits.to_vec(), key: SubjectKey::read(info)? })
    }

    /// Returns the key in DER, unmodified.
    pub(crate) fn whole(&self) -> &[u8] {
        &self.whole
    }

    /// Returns the content of the BIT STRING, from which key identifiers derive (RFC 5280, section 4.2.1.2).
    pub(crate) fn bits(&self) -> &[u8] {
        &self.bits
    }

    /// Returns whether signatures of this kind of key can be verified.
    pub(crate) fn can_verify(&self) -> bool {
        self.key.can_verify()
    }

    /// Returns whether this key signed the digest: RSASSA-PKCS1-v1_5, or ECDSA in DER.
    pub(crate) fn verifies(&self, hash: HashAlgorithm, digest: &[u8], signature: &[u8]) -> bool {
        verify_signature(&self.key, hash, digest, signature)
    }
}

const RSA_MIN_LEN: usize = 2048 / 8;
/// sha…WithRSAEncryption, 1.2.840.113549.1.1; the last byte selects the hash.
const PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// ecdsa-with-SHA…, 1.2.840.10045.4.3; the last byte selects the hash.
const ECDSA_WITH: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];

/// The signature algorithm of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5.
    Rsa(HashAlgorithm),
    /// ECDSA, on the curve of the issuer's key.
    Ecdsa(HashAlgorithm),
}

impl SignatureAlgorithm {
    pub(super) fn hash(self) -> HashAlgorithm {
        match self {
            Self::Rsa(hash) | Self::Ecdsa(hash) => hash,
        }
    }

    /// Returns whether this key, which must be of this algorithm, signed the digest.
    pub(super) fn verifies(self, key: &SubjectKey, digest: &[u8], signature: &[u8]) -> bool {
        let fits = matches!(
            (self, key),
            (Self::Rsa(_), SubjectKey::Rsa { .. }) | (Self::Ecdsa(_), SubjectKey::Ecc { .. })
        );
        fits && verify_signature(key, self.hash(), digest, signature)
    }

    /// Reads the content of an AlgorithmIdentifier: `None` if it is malformed, `Some(None)` if the algorithm is
    /// not accepted; SHA-1 is not.
    pub(super) fn read(mut identifier: Der<'_>) -> Option<Option<Self>> {
        let id = identifier.expect(OID)?.content;
        Some(match (id.strip_prefix(PKCS1), id.strip_prefix(ECDSA_WITH)) {
            (Some([11]), _) => Some(Self::Rsa(HashAlgorithm::Sha256)),
            (Some([12]), _) => Some(Self::Rsa(HashAlgorithm::Sha384)),
            (Some([13]), _) => Some(Self::Rsa(HashAlgorithm::Sha512)),
            (_, Some([2])) => Some(Self::Ecdsa(HashAlgorithm::Sha256)),
            (_, Some([3])) => Some(Self::Ecdsa(HashAlgorithm::Sha384)),
            (_, Some([4])) => Some(Self::Ecdsa(HashAlgorithm::Sha512)),
            _ => None,
        })
    }
}

/// Returns whether this key signed the digest: RSASSA-PKCS1-v1_5, or ECDSA in DER.
pub(super) fn verify_signature(
    key: &SubjectKey,
    hash: HashAlgorithm,
    digest: &[u8],
    signature: &[u8],
) -> bool {
    let verified = match key {
        SubjectKey::Rsa { modulus, exponent } => verify_rsa(modulus, exponent, hash, digest, signature),
        SubjectKey::Ecc { curve, point } => verify_ecdsa(*curve, point, digest, signature),
        SubjectKey::Other => None,
    };
    verified.is_some()
}

fn verify_rsa(
    modulus: &[u8],
    exponent: &[u8],
    hash: HashAlgorithm,
    digest: &[u8],
    signature: &[u8],
) -> Option<()> {
    if modulus.len() < RSA_MIN_LEN {
        return None;
    }
    let padding = match hash {
        HashAlgorithm::Sha1 => return None,
        HashAlgorithm::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
        HashAlgorithm::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
        HashAlgorithm::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
    };
    // Refuses moduli of more than 4096 bits.
    let key = RsaPublicKey::new(BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent)).ok()?;
    key.verify(padding, digest, signature).ok()
}

fn verify_ecdsa(curve: Curve, point: &[u8], digest: &[u8], signature: &[u8]) -> Option<()> {
    match curve {
        Curve::P256 => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
            key.verify_prehash(digest, &p256::ecdsa::Signature::from_der(signature).ok()?).ok()
        }
        Curve::P384 => {
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
            key.verify_prehash(digest, &p384::ecdsa::Signature::from_der(signature).ok()?).ok()
        }
    }
}
