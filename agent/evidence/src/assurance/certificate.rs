use p256::ecdsa::VerifyingKey;

use super::error::AssuranceError;
use crate::tpm::Curve;
use crate::x509::{Certificate, SubjectKey, common_name, is_signed_by};

/// The key purpose (RFC 5280, section 4.2.1.12) that only action keys have: an object identifier from a UUID
/// (ITU-T X.667).
pub const ASSURANCE_EKU: &str = "2.25.110535775423622918572817092174762360646";

/// The DER value of an extendedKeyUsage extension, 2.5.29.37, with this purpose only. Libraries with 64-bit arcs
/// cannot encode it.
pub const ASSURANCE_EKU_EXTENSION: [u8; 24] = [
    0x30, 0x16, 0x06, 0x14, 0x69, 0x81, 0xa6, 0xa8, 0xb5, 0x9f, 0xb8, 0xa8, 0x82, 0xbb, 0xa7, 0x83, 0x96,
    0xfa, 0xdc, 0xd9, 0xa5, 0x98, 0xfe, 0x46,
];
const PURPOSE_OFFSET: usize = 4;

/// An action key that the trusted CA certified.
pub(super) struct CertifiedKey {
    pub(super) device: String,
    pub(super) verifying: VerifyingKey,
}

/// Checks that the trusted CA issued the action key's certificate directly.
pub(super) fn check(leaf: &[u8], authority: &[u8], now: u64) -> Result<CertifiedKey, AssuranceError> {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let authority = Certificate::read(authority).ok_or(AssuranceError::Authority)?;
    let by = &authority.extensions;
    if !by.is_ca || !by.may_sign_certificates || by.has_unknown_critical {
        return Err(AssuranceError::Authority);
    }
    let leaf = Certificate::read(leaf).ok_or(AssuranceError::Certificate)?;
    if leaf.issuer != authority.subject || !is_signed_by(&leaf, &authority.key) {
        return Err(AssuranceError::Issuer);
    }
    if !leaf.is_valid_at(now) || !authority.is_valid_at(now) {
        return Err(AssuranceError::Validity);
    }
    let (_, purpose) = ASSURANCE_EKU_EXTENSION.split_at(PURPOSE_OFFSET);
    let extensions = &leaf.extensions;
    if extensions.purposes != [purpose] || extensions.is_ca || extensions.has_unknown_critical {
        return Err(AssuranceError::Purpose);
    }
    let SubjectKey::Ecc { curve: Curve::P256, point } = &leaf.key else { return Err(AssuranceError::Key) };
    let verifying = VerifyingKey::from_sec1_bytes(point).map_err(|_| AssuranceError::Key)?;
    let device = common_name(&leaf.subject).ok_or(AssuranceError::Subject)?.to_owned();
    Ok(CertifiedKey { device, verifying })
}
