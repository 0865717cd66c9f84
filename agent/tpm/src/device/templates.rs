//! The templates of all keys that Pawl creates in the TPM.

use tss_esapi::attributes::{ObjectAttributes, ObjectAttributesBuilder};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, RsaSchemeAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::structures::{
    Digest, DigestList, EccParameter, EccPoint, EccScheme, HashScheme, KeyDerivationFunctionScheme,
    KeyedHashScheme, Public, PublicEccParameters, PublicKeyRsa, PublicKeyedHashParameters,
    PublicRsaParameters, RsaExponent, RsaScheme, SymmetricDefinitionObject,
};

use crate::EndorsementKind;

/// The endorsement key (TCG EK Credential Profile 2.5, B.3 and B.4). The certificates in the TPM are for the
/// keys of exactly these templates.
pub(super) fn endorsement(kind: EndorsementKind) -> tss_esapi::Result<Public> {
    let attributes = fixed_key().with_admin_with_policy(true).with_restricted(true).with_decrypt(true);
    match kind {
        EndorsementKind::Rsa2048 => Ok(Public::Rsa {
            object_attributes: attributes.build()?,
            name_hashing_algorithm: HashingAlgorithm::Sha256,
            auth_policy: Digest::from(POLICY_A_SHA256),
            parameters: PublicRsaParameters::new(
                SymmetricDefinitionObject::AES_128_CFB,
                RsaScheme::create(RsaSchemeAlgorithm::Null, None)?,
                RsaKeyBits::Rsa2048,
                RsaExponent::ZERO_EXPONENT,
            ),
            unique: PublicKeyRsa::new_empty_with_size(RsaKeyBits::Rsa2048),
        }),
        EndorsementKind::EccP256 => Ok(Public::Ecc {
            object_attributes: attributes.build()?,
            name_hashing_algorithm: HashingAlgorithm::Sha256,
            auth_policy: Digest::from(POLICY_A_SHA256),
            parameters: decryption(SymmetricDefinitionObject::AES_128_CFB, EccCurve::NistP256),
            unique: EccPoint::new(EccParameter::from_bytes(&[0; 32])?, EccParameter::from_bytes(&[0; 32])?),
        }),
        EndorsementKind::EccP384 => Ok(Public::Ecc {
            object_attributes: attributes.with_user_with_auth(true).build()?,
            name_hashing_algorithm: HashingAlgorithm::Sha384,
            auth_policy: Digest::from(POLICY_B_SHA384),
            parameters: decryption(SymmetricDefinitionObject::AES_256_CFB, EccCurve::NistP384),
            unique: EccPoint::default(),
        }),
    }
}

/// The policy branches of an endorsement key of the high range (TCG EK Credential Profile 2.5, B.6).
pub(super) fn endorsement_branches() -> tss_esapi::Result<DigestList> {
    let mut branches = DigestList::new();
    branches.add(Digest::from(POLICY_A_SHA384))?;
    branches.add(Digest::from(POLICY_C_SHA384))?;
    Ok(branches)
}

/// The attestation key, restricted: it signs only what the TPM itself generates. The label in `unique` separates
/// it from other programs' keys in the same hierarchy. Any change here changes the attestation key of every
/// device.
pub(super) fn attestation() -> tss_esapi::Result<Public> {
    Ok(Public::Ecc {
        object_attributes: fixed_key()
            .with_user_with_auth(true)
            .with_no_da(true)
            .with_restricted(true)
            .with_sign_encrypt(true)
            .build()?,
        name_hashing_algorithm: HashingAlgorithm::Sha256,
        auth_policy: Digest::default(),
        parameters: signing(),
        unique: EccPoint::new(EccParameter::from_bytes(b"pawl attestation key 1")?, EccParameter::default()),
    })
}

/// The parent of a pairing's keys: the P-256 storage root key of the TCG TPM v2.0 Provisioning Guidance.
pub(super) fn storage_parent() -> tss_esapi::Result<Public> {
    Ok(Public::Ecc {
        object_attributes: fixed_key()
            .with_user_with_auth(true)
            .with_no_da(true)
            .with_restricted(true)
            .with_decrypt(true)
            .build()?,
        name_hashing_algorithm: HashingAlgorithm::Sha256,
        auth_policy: Digest::default(),
        parameters: decryption(SymmetricDefinitionObject::AES_128_CFB, EccCurve::NistP256),
        unique: EccPoint::new(EccParameter::from_bytes(&[0; 32])?, EccParameter::from_bytes(&[0; 32])?),
    })
}

/// A signing key that works only under `policy`. Without userWithAuth the empty authorization value does not
/// suffice; without adminWithPolicy TPM2_Certify needs no policy.
pub(super) fn signing_key(policy: [u8; 32]) -> tss_esapi::Result<Public> {
    Ok(Public::Ecc {
        object_attributes: fixed_key().with_no_da(true).with_sign_encrypt(true).build()?,
        name_hashing_algorithm: HashingAlgorithm::Sha256,
        auth_policy: Digest::from(policy),
        parameters: signing(),
        unique: EccPoint::default(),
    })
}

/// A sealed object that TPM2_Unseal returns only under `policy`.
pub(super) fn sealed(policy: [u8; 32]) -> tss_esapi::Result<Public> {
    Ok(Public::KeyedHash {
        object_attributes: ObjectAttributes::builder()
            .with_fixed_tpm(true)
            .with_fixed_parent(true)
            .with_no_da(true)
            .build()?,
        name_hashing_algorithm: HashingAlgorithm::Sha256,
        auth_policy: Digest::from(policy),
        parameters: PublicKeyedHashParameters::new(KeyedHashScheme::Null),
        unique: Digest::default(),
    })
}

fn fixed_key() -> ObjectAttributesBuilder {
    ObjectAttributes::builder().with_fixed_tpm(true).with_fixed_parent(true).with_sensitive_data_origin(true)
}

fn signing() -> PublicEccParameters {
    PublicEccParameters::new(
        SymmetricDefinitionObject::Null,
        EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256)),
        EccCurve::NistP256,
        KeyDerivationFunctionScheme::Null,
    )
}

fn decryption(symmetric: SymmetricDefinitionObject, curve: EccCurve) -> PublicEccParameters {
    PublicEccParameters::new(symmetric, EccScheme::Null, curve, KeyDerivationFunctionScheme::Null)
}

/// SHA-256: PolicySecret(TPM_RH_ENDORSEMENT).
const POLICY_A_SHA256: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd,
    0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];

/// SHA-384: PolicySecret(TPM_RH_ENDORSEMENT).
const POLICY_A_SHA384: [u8; 48] = [
    0x8b, 0xbf, 0x22, 0x66, 0x53, 0x7c, 0x17, 0x1c, 0xb5, 0x6e, 0x40, 0x3c, 0x4d, 0xc1, 0xd4, 0xb6, 0x4f,
    0x43, 0x26, 0x11, 0xdc, 0x38, 0x6e, 0x6f, 0x53, 0x20, 0x50, 0xc3, 0x27, 0x8c, 0x93, 0x0e, 0x14, 0x3e,
    0x8b, 0xb1, 0x13, 0x38, 0x24, 0xcc, 0xb4, 0x31, 0x05, 0x38, 0x71, 0xc6, 0xdb, 0x53,
];

/// SHA-384: PolicyAuthorizeNV of the index that the profile reserves.
const POLICY_C_SHA384: [u8; 48] = [
    0xd6, 0x03, 0x2c, 0xe6, 0x1f, 0x2f, 0xb3, 0xc2, 0x40, 0xeb, 0x3c, 0xf6, 0xa3, 0x32, 0x37, 0xef, 0x2b,
    0x6a, 0x16, 0xf4, 0x29, 0x3c, 0x22, 0xb4, 0x55, 0xe2, 0x61, 0xcf, 0xfd, 0x21, 0x7a, 0xd5, 0xb4, 0x94,
    0x7c, 0x2d, 0x73, 0xe6, 0x30, 0x05, 0xee, 0xd2, 0xdc, 0x2b, 0x35, 0x93, 0xd1, 0x65,
];

/// SHA-384: PolicyOR of policies A and C.
const POLICY_B_SHA384: [u8; 48] = [
    0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a, 0x07,
    0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca, 0xcb, 0x47,
    0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12,
];
