use p256::ecdsa::Signature;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use pawl_jose::{Compact, CompactError};

use super::certificate;
use super::claims::{Claims, Expected};
use super::error::AssuranceError;
use super::signing_input::{ASSURANCE_MAX_LEN, SigningInput};

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
    let key = certificate::check(signed.certificate(), trusted_ca_der, now_unix)?;
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
