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

/// An assertion that was checked.
#[derive(Debug)]
pub(super) struct ClientAssertion {
    device: DeviceId,
    jti: String,
    exp: u64,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: u64,
    jti: String,
}

/// RFC 7519, section 4.1.3: one text or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Whom an assertion is about, before anything in it has been checked.
pub(super) fn claimed_device(text: &str) -> Result<DeviceId, TokenError> {
    let claims: Claims = jws::peek(text).map_err(refuse)?;
    claims.sub.parse().map_err(|_| refuse(Malformed("sub: not a device id")))
}

impl ClientAssertion {
    pub(super) fn verify(
        text: &str,
        device: DeviceId,
        key: &VerifyingKey,
        endpoint: &str,
        now: u64,
    ) -> Result<Self, TokenError> {
        let Claims { iss, sub, aud, exp, jti } = jws::verify(text, key).map_err(refuse)?.claims;
        if iss != device.as_str() || sub != device.as_str() {
            return Err(refuse(Malformed("iss or sub: both are the device id")));
        }
        let addressed = match aud {
            Audience::One(one) => one == endpoint,
            Audience::Several(several) => several.iter().any(|one| one == endpoint),
        };
        if !addressed {
            return Err(refuse(Malformed("aud: it is the URL of this endpoint")));
        }
        if exp.saturating_add(LEEWAY) <= now {
            return Err(refuse(Malformed("exp: the assertion has expired; compare the clocks")));
        }
        if exp > now + LIFETIME + LEEWAY {
            return Err(refuse(Malformed("exp: an assertion lives 5 minutes at most; compare the clocks")));
        }
        if jti.is_empty() {
            return Err(refuse(Malformed("jti: it is empty")));
        }
        Ok(Self { device, jti, exp })
    }

    /// What may be used once, and until when that must be remembered.
    pub(super) fn single_use(&self) -> (Vec<u8>, u64) {
        let name = format!("assertion {} {}", self.device, self.jti);
        (Digest::of(name.as_bytes()).as_bytes().to_vec(), self.exp.saturating_add(LEEWAY))
    }
}

fn refuse(error: Malformed) -> TokenError {
    TokenErrorCode::InvalidClient.with(format!("client_assertion: {error}"))
}
