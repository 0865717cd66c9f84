use thiserror::Error;

use crate::tpm::{Curve, HashAlgorithm, ObjectAttributes, Public, PublicKey, SignatureScheme};

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
