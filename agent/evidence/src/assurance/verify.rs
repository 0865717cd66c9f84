use p256::ecdsa::Signature;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use pawl_jose::{Compact, CompactError};

use super::certificate;
use super::claims::{Claims, Expected};
use super::error::AssuranceError;
use super::signing_input::{ASSURANCE_MAX_LEN, SigningInput};

/// How far the clocks of the control plane and of the receiver may be apart, in seconds.
const LEEWAY: u64 = 60;

/// An assurance that holds: a TPM of the named device signed it, in the epoch that it names, because the control plane
/// authorized that signature.
///
/// Whether the pairing is still alive, and whether the assurance was used before, only the control plane knows. Who
/// remembers used ones goes by [`Claims::jti`]: a second text with a valid signature can be made from the first by
/// anybody (ECDSA).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assurance(Claims);

impl Assurance {
    /// What it says.
    pub fn claims(&self) -> &Claims {
        &self.0
    }
}

/// Checks an assurance off line.
///
/// `trusted_ca_der` is the certificate of the control plane's authority, and all that is trusted; `now_unix` is in
/// seconds since 1970.
///
/// # Errors
/// The first check that failed, in this order: form, certificate, signature, device, time, what it covers.
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
