use p256::ecdsa::VerifyingKey;
use p256::ecdsa::signature::Verifier as _;
use thiserror::Error;

use super::verified::{AttestError, VerifiedAttest};
use crate::tpm::{
    Attest, Curve, HashAlgorithm, Hierarchy, Name, ObjectAttributes, Public, PublicKey, Signature,
    SignatureScheme, uncompressed_point,
};

/// The attributes of every attestation key: the TPM created it, does not export it, and signs with it only data that the
/// TPM itself generated.
const RESTRICTED: ObjectAttributes = ObjectAttributes::RESTRICTED
    .union(ObjectAttributes::SIGN)
    .union(ObjectAttributes::FIXED_TPM)
    .union(ObjectAttributes::FIXED_PARENT)
    .union(ObjectAttributes::SENSITIVE_DATA_ORIGIN);
/// The attributes in `pawld`'s template of the attestation key.
const TEMPLATE: ObjectAttributes =
    RESTRICTED.union(ObjectAttributes::USER_WITH_AUTH).union(ObjectAttributes::NO_DA);

/// A restricted signing key at a known place in a TPM's key hierarchies.
///
/// The place matters: for keys outside of the endorsement and platform hierarchies the TPM obfuscates
/// resetCount, restartCount and firmwareVersion in every attestation (TPM 2.0 Library, part 2, TPMS_ATTEST).
#[derive(Debug, Clone)]
pub struct AttestationKey {
    verifying: VerifyingKey,
    public: Public,
    qualified_name: Name,
}

/// Why a public area is not an attestation key's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AkError {
    /// It is another kind of key.
    #[error("the attestation key is not an ECDSA P-256 key with SHA-256")]
    Kind,
    /// It could sign data from outside of the TPM, or could exist outside of the TPM.
    #[error("the attestation key has the attributes {0}; it needs {RESTRICTED} and must not decrypt")]
    Attributes(ObjectAttributes),
    /// It does not have `pawld`'s template.
    #[error("the attestation key was not made from pawld's template: its {0} differs")]
    Template(&'static str),
    /// Its point is not on the curve.
    #[error("the attestation key's point is not on the curve P-256")]
    Point,
}

impl AttestationKey {
    /// Accepts the public area of a key that `pawld` created: from its template, as a primary of the endorsement
    /// hierarchy. [`AttestationKey::verify`] refuses attestations by a key with the same public area elsewhere.
    ///
    /// # Errors
    /// [`AkError`] says what differs.
    pub fn from_public(public: Public) -> Result<Self, AkError> {
        let qualified_name = public.name().in_hierarchy(Hierarchy::Endorsement);
        let key = Self::with_qualified_name(public, qualified_name)?;
        let public = &key.public;
        if public.attributes() != TEMPLATE {
            return Err(AkError::Template("set of attributes"));
        }
        if !public.auth_policy().is_empty() {
            return Err(AkError::Template("policy"));
        }
        if !matches!(public.key(), PublicKey::Ecc { symmetric: None, .. }) {
            return Err(AkError::Template("symmetric cipher"));
        }
        Ok(key)
    }

    /// Accepts the public area of any other restricted signing key. The caller guarantees that a key with
    /// `qualified_name` is in the endorsement hierarchy.
    ///
    /// # Errors
    /// [`AkError`] says what differs.
    pub fn with_qualified_name(public: Public, qualified_name: Name) -> Result<Self, AkError> {
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
        if !attributes.contains(RESTRICTED) || attributes.intersects(ObjectAttributes::DECRYPT) {
            return Err(AkError::Attributes(attributes));
        }
        let point = uncompressed_point(Curve::P256, x, y);
        let verifying = VerifyingKey::from_sec1_bytes(&point).map_err(|_| AkError::Point)?;
        Ok(Self { verifying, public, qualified_name })
    }

    /// Verifies a TPMS_ATTEST against its TPMT_SIGNATURE, this key's place in its TPM, and the expected
    /// qualifying data.
    ///
    /// # Errors
    /// If this key did not sign it, the bytes are not an attestation, the signing key is at another place in its
    /// TPM, or the qualifying data differs.
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
        if attest.qualified_signer != self.qualified_name.as_bytes() {
            return Err(AttestError::Hierarchy);
        }
        if attest.extra_data != expected_extra {
            return Err(AttestError::Stale);
        }
        Ok(VerifiedAttest::new(attest))
    }

    /// Returns the key's name, to which a credential is bound.
    pub fn name(&self) -> Name {
        self.public.name()
    }

    /// Returns the key's public area.
    pub fn public(&self) -> &Public {
        &self.public
    }
}

/// The attributes of every object of a pairing: it cannot leave the TPM, and failed authorizations do not lock
/// it.
const BOUND: ObjectAttributes =
    ObjectAttributes::FIXED_TPM.union(ObjectAttributes::FIXED_PARENT).union(ObjectAttributes::NO_DA);
const SIGNING: ObjectAttributes =
    BOUND.union(ObjectAttributes::SENSITIVE_DATA_ORIGIN).union(ObjectAttributes::SIGN);

/// The role of a certified object in a pairing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRole {
    /// TLS client authentication.
    Link,
    /// Proofs and client assertions.
    Device,
    /// The sealed key of the vault.
    Vault,
    /// Signs assurances for protected actions.
    Action,
}

/// Why an object is unsuitable for its role.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is of another kind.
    #[error("the {role} is not {expected}")]
    Kind {
        /// The role.
        role: KeyRole,
        /// The required kind.
        expected: &'static str,
    },
    /// Its attributes allow other uses, or use outside of its TPM.
    #[error("the {role} has the attributes {actual} instead of {expected}")]
    Attributes {
        /// The role.
        role: KeyRole,
        /// Its attributes.
        actual: ObjectAttributes,
        /// The only allowed attributes.
        expected: ObjectAttributes,
    },
    /// Its policy is not this pairing's.
    #[error("the {0} has another policy than this pairing's")]
    Policy(KeyRole),
}

/// Checks the public area of an object that a device created for a pairing: it can exist in one TPM only, and
/// works only under `auth_policy`. [`super::VerifiedAttest::certify`] shows that the object *is* in the TPM.
///
/// # Errors
/// [`KeyError`] says what differs.
pub fn check_device_bound(public: &Public, role: KeyRole, auth_policy: &[u8; 32]) -> Result<(), KeyError> {
    let expected = match role {
        KeyRole::Link | KeyRole::Device | KeyRole::Action => {
            check_signing_key(public, role)?;
            SIGNING
        }
        KeyRole::Vault => {
            check_sealed(public, role)?;
            BOUND
        }
    };
    let actual = public.attributes();
    if actual != expected {
        return Err(KeyError::Attributes { role, actual, expected });
    }
    if public.auth_policy() != auth_policy {
        return Err(KeyError::Policy(role));
    }
    Ok(())
}

fn check_signing_key(public: &Public, role: KeyRole) -> Result<(), KeyError> {
    match (public.name_algorithm(), public.key()) {
        (
            HashAlgorithm::Sha256,
            PublicKey::Ecc {
                curve: Curve::P256,
                scheme: Some(SignatureScheme::Ecdsa(HashAlgorithm::Sha256)),
                symmetric: None,
                ..
            },
        ) => Ok(()),
        _ => Err(KeyError::Kind { role, expected: "an ECDSA P-256 key with SHA-256" }),
    }
}

fn check_sealed(public: &Public, role: KeyRole) -> Result<(), KeyError> {
    match (public.name_algorithm(), public.key()) {
        (HashAlgorithm::Sha256, PublicKey::KeyedHash { .. }) => Ok(()),
        _ => Err(KeyError::Kind { role, expected: "a sealed object with SHA-256" }),
    }
}

impl std::fmt::Display for KeyRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Link => "link key",
            Self::Device => "device key",
            Self::Vault => "vault key",
            Self::Action => "action key",
        })
    }
}
