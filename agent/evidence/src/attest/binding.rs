use thiserror::Error;

use crate::tpm::{Curve, HashAlgorithm, ObjectAttributes, Public, PublicKey, SignatureScheme};

/// What every object of a pairing has: it cannot leave the TPM, and wrong guesses cannot lock it.
const BOUND: ObjectAttributes =
    ObjectAttributes::FIXED_TPM.union(ObjectAttributes::FIXED_PARENT).union(ObjectAttributes::NO_DA);
const SIGNING: ObjectAttributes =
    BOUND.union(ObjectAttributes::SENSITIVE_DATA_ORIGIN).union(ObjectAttributes::SIGN);

/// What a certified object of a pairing is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRole {
    /// TLS client authentication.
    Link,
    /// Proofs and client assertions.
    Device,
    /// The sealed key of the vault.
    Vault,
    /// Assurances for protected actions.
    Action,
}

/// Why an object cannot serve in its role.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is another kind of object.
    #[error("the {role} is not {expected}")]
    Kind {
        /// Its role.
        role: KeyRole,
        /// What it should be.
        expected: &'static str,
    },
    /// It could be used otherwise, or elsewhere.
    #[error("the {role} has the attributes {actual} instead of {expected}")]
    Attributes {
        /// Its role.
        role: KeyRole,
        /// What it has.
        actual: ObjectAttributes,
        /// What it must have, and nothing besides.
        expected: ObjectAttributes,
    },
    /// Its use depends on something else than it should.
    #[error("the {0} has another policy than this pairing's")]
    Policy(KeyRole),
}

/// Checks the public area of an object that a device made for a pairing: it can exist in one TPM alone and
/// works under `auth_policy` alone. That it *is* in the TPM is for [`super::VerifiedAttest::certify`] to
/// show.
///
/// # Errors
/// See [`KeyError`].
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
