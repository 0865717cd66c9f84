use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use pawl_jose::{Compact, CompactError};

use super::claims::{ASSURANCE_MAX_LEN, AssuranceError, Claims, Expected};
use super::signing_input::SigningInput;
use crate::tpm::Curve;
use crate::x509::{Certificate, SubjectKey, common_name, is_signed_by};

/// Allowed difference between the clocks of control plane and receiver, in seconds.
const LEEWAY: u64 = 60;

/// A verified assurance: a TPM of the named device signed it, in the named epoch, because the control plane
/// authorized that signature.
///
/// Only the control plane knows whether the pairing is still valid and whether the assurance was used before. To
/// detect reuse, store [`Claims::jti`] and not the text: from one valid ECDSA signature anybody can make a
/// second one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assurance(Claims);

impl Assurance {
    /// Returns the claims.
    pub fn claims(&self) -> &Claims {
        &self.0
    }
}

/// Verifies an assurance off line.
///
/// `trusted_ca_der` is the certificate of the control plane's CA, the only trust anchor. `now_unix` is in
/// seconds since 1970.
///
/// # Errors
/// The first check that failed, in this order: form, certificate, signature, device, time, expected values.
pub fn verify(
    jws: &str,
    trusted_ca_der: &[u8],
    now_unix: u64,
    expected: &Expected<'_>,
) -> Result<Assurance, AssuranceError> {
    let jws = Compact::parse(jws, ASSURANCE_MAX_LEN).map_err(|error| match error {
        CompactError::TooLong => AssuranceError::TooLong,
        CompactError::Form | CompactError::Signature => AssuranceError::Form,
    })?;
    let signed = SigningInput::parse(jws.signing_input())?;
    let key = check_certificate(signed.certificate(), trusted_ca_der, now_unix)?;
    let signature = Signature::from_slice(jws.signature()).map_err(|_| AssuranceError::Signature)?;
    key.verifying.verify_prehash(&signed.digest(), &signature).map_err(|_| AssuranceError::Signature)?;
    let claims = signed.claims();
    if claims.sub != key.device {
        return Err(AssuranceError::Subject);
    }
    if claims.iat > now_unix.saturating_add(LEEWAY) {
        return Err(AssuranceError::NotYet);
    }
    if now_unix >= claims.exp.saturating_add(LEEWAY) {
        return Err(AssuranceError::Expired);
    }
    claims.check(expected)?;
    Ok(Assurance(claims.clone()))
}

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
pub(super) fn check_certificate(
    leaf: &[u8],
    authority: &[u8],
    now: u64,
) -> Result<CertifiedKey, AssuranceError> {
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
