//! The client assertion (RFC 7523, section 3): a JWT by the device key.

use p256::ecdsa::VerifyingKey;
use pawl_proto::{DeviceId, Digest};
use serde::Deserialize;

use super::error::{TokenError, TokenErrorCode};
use super::jws::{self, Malformed};

/// The one `client_assertion_type`.
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An assertion lives at most so many seconds.
const LIFETIME: u64 = 300;
/// So far may the device's clock be off, in seconds.
const LEEWAY: u64 = 60;

/// The claims of a JWT by which a device speaks for itself (RFC 7519, section 4.1).
#[derive(Debug, Deserialize)]
pub(crate) struct Assertion {
    iss: String,
    sub: String,
    aud: Audience,
    exp: u64,
    jti: String,
}

/// RFC 7519, section 4.1.3: one text or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Whom an assertion is about, before anything in it has been checked.
pub(crate) fn claimed_device(text: &str) -> Result<DeviceId, Malformed> {
    let claims: Assertion = jws::peek(text)?;
    claims.sub.parse().map_err(|_| Malformed("sub: not a device id"))
}

/// A client assertion whose signature and claims hold.
pub(super) fn verify(
    text: &str,
    device: DeviceId,
    key: &VerifyingKey,
    endpoint: &str,
    now: u64,
) -> Result<Assertion, TokenError> {
    let assertion: Assertion = jws::verify(text, key).map_err(refuse)?.claims;
    assertion.check(device, endpoint, now).map_err(refuse)?;
    Ok(assertion)
}

impl Assertion {
    /// Whether the device speaks of itself, to this endpoint and at this time. The signature is
    /// checked elsewhere.
    pub(crate) fn check(&self, device: DeviceId, endpoint: &str, now: u64) -> Result<(), Malformed> {
        if self.iss != device.as_str() || self.sub != device.as_str() {
            return Err(Malformed("iss or sub: both are the device id"));
        }
        let addressed = match &self.aud {
            Audience::One(one) => one == endpoint,
            Audience::Several(several) => several.iter().any(|one| one == endpoint),
        };
        if !addressed {
            return Err(Malformed("aud: it is the URL of this endpoint"));
        }
        if self.exp.saturating_add(LEEWAY) <= now {
            return Err(Malformed("exp: the assertion has expired; compare the clocks"));
        }
        if self.exp > now + LIFETIME + LEEWAY {
            return Err(Malformed("exp: an assertion lives 5 minutes at most; compare the clocks"));
        }
        if self.jti.is_empty() {
            return Err(Malformed("jti: it is empty"));
        }
        Ok(())
    }

    /// What may be used once, and until when that must be remembered.
    pub(crate) fn single_use(&self) -> (Vec<u8>, u64) {
        let name = format!("assertion {} {}", self.sub, self.jti);
        (Digest::of(name.as_bytes()).as_bytes().to_vec(), self.exp.saturating_add(LEEWAY))
    }
}

fn refuse(error: Malformed) -> TokenError {
    TokenErrorCode::InvalidClient.with(format!("client_assertion: {error}"))
}
