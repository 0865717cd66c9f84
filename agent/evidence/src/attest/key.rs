use p256::ecdsa::VerifyingKey;
use p256::ecdsa::signature::Verifier as _;
use thiserror::Error;

use super::verified::{AttestError, VerifiedAttest};
use crate::tpm::{
    Attest, Curve, HashAlgorithm, Name, ObjectAttributes, Public, PublicKey, Signature, SignatureScheme,
    uncompressed_point,
};

const REQUIRED: ObjectAttributes = ObjectAttributes::RESTRICTED
    .union(ObjectAttributes::SIGN)
    .union(ObjectAttributes::FIXED_TPM)
    .union(ObjectAttributes::FIXED_PARENT)
    .union(ObjectAttributes::SENSITIVE_DATA_ORIGIN);

/// A key that can have signed nothing but what its TPM made: attestations, and digests of data that do not
/// look like one.
#[derive(Debug, Clone)]
pub struct AttestationKey {
    verifying: VerifyingKey,
    public: Public,
}

/// Why a public area is not that of an attestation key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AkError {
    /// It is another kind of key.
    #[error("the attestation key is not an ECDSA P-256 key with SHA-256")]
    Kind,
    /// It could sign what the TPM did not make, or could be outside of the TPM.
    #[error("the attestation key has the attributes {0}; it needs {REQUIRED} and must not decrypt")]
    Attributes(ObjectAttributes),
    /// Its point is not on the curve.
    #[error("the attestation key's point is not on the curve P-256")]
    Point,
}

impl AttestationKey {
    /// Takes a public area whose attributes make it an attestation key, *if* it is in a TPM.
    ///
    /// # Errors
    /// See [`AkError`].
    pub fn from_public(public: Public) -> Result<Self, AkError> {
        let PublicKey::Ecc {
            curve: Curve::P256,
            scheme: Some(SignatureScheme::Ecdsa(HashAlgorithm::Sha256)),
            x,
            y,
            ..
        } = public.key()
        else {
            return Err(AkError::Kind);
        };
        if public.name_algorithm() != HashAlgorithm::Sha256 {
            return Err(AkError::Kind);
        }
        let attributes = public.attributes();
        if !attributes.contains(REQUIRED) || attributes.intersects(ObjectAttributes::DECRYPT) {
            return Err(AkError::Attributes(attributes));
        }
        let point = uncompressed_point(Curve::P256, x, y);
        let verifying = VerifyingKey::from_sec1_bytes(&point).map_err(|_| AkError::Point)?;
        Ok(Self { verifying, public })
    }

    /// Checks a TPMS_ATTEST against its TPMT_SIGNATURE and against the qualifying data that was asked for.
    ///
    /// # Errors
    /// When the signature is not this key's, the bytes are no attestation, or it answers another question.
    pub fn verify(
        &self,
        attest: &[u8],
        signature: &[u8],
        expected_extra: &[u8],
    ) -> Result<VerifiedAttest, AttestError> {
        let signature = Signature::unmarshal(signature).map_err(AttestError::Signature)?;
        let signature =
            p256::ecdsa::Signature::from_slice(&signature.to_r_s()).map_err(|_| AttestError::Forged)?;
        self.verifying.verify(attest, &signature).map_err(|_| AttestError::Forged)?;
        let attest = Attest::unmarshal(attest).map_err(AttestError::Malformed)?;
        if attest.extra_data != expected_extra {
            return Err(AttestError::Stale);
        }
        Ok(VerifiedAttest::new(attest))
    }

    /// The key's name, to which a credential is bound.
    pub fn name(&self) -> Name {
        self.public.name()
    }

    /// The key's public area.
    pub fn public(&self) -> &Public {
        &self.public
    }
}
