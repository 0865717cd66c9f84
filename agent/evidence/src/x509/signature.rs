use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use sha2::{Sha256, Sha384, Sha512};

use super::certificate::Certificate;
use super::der::{Der, OID};
use super::subject_key::SubjectKey;
use crate::tpm::{Curve, HashAlgorithm};

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
        fits && verify(key, self.hash(), digest, signature)
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

/// Returns whether `issuer`'s key signed `certificate`.
pub(crate) fn is_signed_by(certificate: &Certificate, issuer: &SubjectKey) -> bool {
    certificate.algorithm.is_some_and(|algorithm| {
        let digest = algorithm.hash().digest(&[&certificate.signed]);
        algorithm.verifies(issuer, digest.as_bytes(), &certificate.signature)
    })
}

/// Returns whether this key signed the digest: RSASSA-PKCS1-v1_5, or ECDSA in DER.
pub(super) fn verify(key: &SubjectKey, hash: HashAlgorithm, digest: &[u8], signature: &[u8]) -> bool {
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
