use std::fmt;

use thiserror::Error;

use crate::tpm::{Curve, HashAlgorithm, ObjectAttributes, Public, PublicKey, SymmetricCipher};

/// The default templates of the TCG EK Credential Profile (version 2.5, annex B) that devices use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EkTemplate {
    /// L-1: RSA 2048, SHA-256, AES-128.
    Rsa2048,
    /// L-2: ECC P-256, SHA-256, AES-128.
    EccP256,
    /// H-3: ECC P-384, SHA-384, AES-256.
    EccP384,
}

/// A public area has no known endorsement key template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("its {0} is not that of the TCG template L-1 (RSA 2048), L-2 (ECC P-256) or H-3 (ECC P-384)")]
pub struct EkTemplateError(&'static str);

/// The attributes of a storage key that cannot leave its TPM. A restricted key decrypts only TPM structures, so only
/// this TPM can activate a credential.
const LOW_RANGE: ObjectAttributes = ObjectAttributes::FIXED_TPM
    .union(ObjectAttributes::FIXED_PARENT)
    .union(ObjectAttributes::SENSITIVE_DATA_ORIGIN)
    .union(ObjectAttributes::ADMIN_WITH_POLICY)
    .union(ObjectAttributes::RESTRICTED)
    .union(ObjectAttributes::DECRYPT);
const HIGH_RANGE: ObjectAttributes = LOW_RANGE.union(ObjectAttributes::USER_WITH_AUTH);

/// PolicySecret(TPM_RH_ENDORSEMENT) with SHA-256.
const LOW_RANGE_POLICY: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd,
    0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];

/// PolicyB with SHA-384: PolicySecret(TPM_RH_ENDORSEMENT), or the policy in an NV index of the platform.
const P384_POLICY: [u8; 48] = [
    0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a, 0x07,
    0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca, 0xcb, 0x47,
    0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12,
];

impl EkTemplate {
    /// Returns the template of this public area.
    ///
    /// A software key can have the same public area. Only the certificate shows that the key is in a TPM.
    ///
    /// # Errors
    /// [`EkTemplateError`] names the part that differs from the templates.
    pub fn of(ek: &Public) -> Result<Self, EkTemplateError> {
        let template = match ek.key() {
            PublicKey::Rsa { bits: 2048, exponent: 65_537, scheme: None, symmetric, .. } => {
                (Self::Rsa2048, *symmetric == Some(SymmetricCipher::Aes128Cfb))
            }
            PublicKey::Ecc { curve: Curve::P256, scheme: None, symmetric, .. } => {
                (Self::EccP256, *symmetric == Some(SymmetricCipher::Aes128Cfb))
            }
            PublicKey::Ecc { curve: Curve::P384, scheme: None, symmetric, .. } => {
                (Self::EccP384, *symmetric == Some(SymmetricCipher::Aes256Cfb))
            }
            _ => return Err(EkTemplateError("kind of key")),
        };
        let (template, true) = template else { return Err(EkTemplateError("symmetric cipher")) };
        if ek.name_algorithm() != template.name_algorithm() {
            return Err(EkTemplateError("name algorithm"));
        }
        if ek.attributes() != template.attributes() {
            return Err(EkTemplateError("set of attributes"));
        }
        if ek.auth_policy() != template.auth_policy() {
            return Err(EkTemplateError("policy"));
        }
        Ok(template)
    }

    /// Returns the name algorithm, which is also the hash of credentials.
    pub const fn name_algorithm(self) -> HashAlgorithm {
        match self {
            Self::Rsa2048 | Self::EccP256 => HashAlgorithm::Sha256,
            Self::EccP384 => HashAlgorithm::Sha384,
        }
    }

    /// Returns the object attributes.
    pub const fn attributes(self) -> ObjectAttributes {
        match self {
            Self::Rsa2048 | Self::EccP256 => LOW_RANGE,
            Self::EccP384 => HIGH_RANGE,
        }
    }

    /// Returns the policy.
    pub const fn auth_policy(self) -> &'static [u8] {
        match self {
            Self::Rsa2048 | Self::EccP256 => &LOW_RANGE_POLICY,
            Self::EccP384 => &P384_POLICY,
        }
    }
}

impl fmt::Display for EkTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa2048 => "RSA 2048",
            Self::EccP256 => "ECC P-256",
            Self::EccP384 => "ECC P-384",
        })
    }
}
