//! The proofs of a token request, both JWTs by the device key: the client assertion (RFC 7523, section 3) and the DPoP
//! proof (RFC 9449, section 4).

use p256::ecdsa::VerifyingKey;
use pawl_proto::{DeviceId, Digest};
use serde::Deserialize;

use super::jws::{Malformed, jwk, peek, verify};
use super::{TokenError, TokenErrorCode};

/// The one `client_assertion_type`.
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The longest validity of an assertion, in seconds.
const LIFETIME: u64 = 300;
/// Largest accepted difference of the device's clock, in seconds.
const LEEWAY: u64 = 60;

/// The claims of a JWT by which a device authenticates (RFC 7519, section 4.1).
#[derive(Debug, Deserialize)]
pub(crate) struct Assertion {
    iss: String,
    sub: String,
    aud: Audience,
    exp: u64,
    jti: String,
}

/// One audience or several (RFC 7519, section 4.1.3).
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Returns the device that an assertion names, unverified.
pub(crate) fn claimed_device(text: &str) -> Result<DeviceId, Malformed> {
    let claims: Assertion = peek(text)?;
    claims.sub.parse().map_err(|_| Malformed("sub: not a device id"))
}

/// Verifies the signature and the claims of a client assertion.
pub(super) fn verify_assertion(
    text: &str,
    device: DeviceId,
    key: &VerifyingKey,
    endpoint: &str,
    now: u64,
) -> Result<Assertion, TokenError> {
    let assertion: Assertion = verify(text, key).map_err(refuse_assertion)?.claims;
    assertion.check(device, endpoint, now).map_err(refuse_assertion)?;
    Ok(assertion)
}

impl Assertion {
    /// Checks that the assertion is by this device about itself, for this endpoint and valid at this time. Does not verify
    /// the signature.
    pub(crate) fn check(&self, device: DeviceId, endpoint: &str, now: u64) -> Result<(), Malformed> {
        if self.iss != device.as_str() || self.sub != device.as_str() {
            return Err(Malformed("iss or sub: both must be the device id"));
        }
        let addressed = match &self.aud {
            Audience::One(one) => one == endpoint,
            Audience::Several(several) => several.iter().any(|one| one == endpoint),
        };
        if !addressed {
            return Err(Malformed("aud: it must be the URL of this endpoint"));
        }
        if self.exp.saturating_add(LEEWAY) <= now {
            return Err(Malformed("exp: the assertion has expired; compare the clocks"));
        }
        if self.exp > now + LIFETIME + LEEWAY {
            return Err(Malformed(
                "exp: an assertion may be valid for 5 minutes at most; compare the clocks",
            ));
        }
        if self.jti.is_empty() {
            return Err(Malformed("jti: it must not be empty"));
        }
        Ok(())
    }

    /// Returns the value that may be used once, and until when it must be stored.
    pub(crate) fn single_use(&self) -> (Vec<u8>, u64) {
        let name = format!("assertion {} {}", self.sub, self.jti);
        (Digest::of(name.as_bytes()).as_bytes().to_vec(), self.exp.saturating_add(LEEWAY))
    }
}

fn refuse_assertion(error: Malformed) -> TokenError {
    TokenErrorCode::InvalidClient.with(format!("client_assertion: {error}"))
}

/// Largest accepted age of a proof, and difference of clocks, in seconds.
const WINDOW: u64 = 60;

/// A verified DPoP proof.
#[derive(Debug)]
pub(super) struct DpopProof {
    key: String,
    jti: String,
    iat: u64,
}

#[derive(Deserialize)]
struct DpopClaims {
    htm: String,
    htu: String,
    iat: u64,
    jti: String,
}

impl DpopProof {
    /// Verifies a proof for one request (RFC 9449, section 4.3).
    pub(super) fn verify(
        text: &str,
        key: &VerifyingKey,
        method: &str,
        url: &str,
        now: u64,
    ) -> Result<Self, TokenError> {
        let verified = verify::<DpopClaims>(text, key).map_err(refuse_proof)?;
        if verified.header.typ.as_deref() != Some("dpop+jwt") {
            return Err(refuse_proof(Malformed("typ: it must be dpop+jwt")));
        }
        let expected = jwk(key);
        if verified.header.jwk.as_ref() != Some(&expected) {
            return Err(refuse_proof(Malformed("jwk: it must be the device key")));
        }
        let DpopClaims { htm, htu, iat, jti } = verified.claims;
        if htm != method || htu != url {
            return Err(refuse_proof(Malformed("htm or htu: they must name this request")));
        }
        if now.abs_diff(iat) > WINDOW {
            return Err(refuse_proof(Malformed("iat: it is more than a minute off; compare the clocks")));
        }
        if jti.is_empty() {
            return Err(refuse_proof(Malformed("jti: it must not be empty")));
        }
        Ok(Self { key: expected.thumbprint(), jti, iat })
    }

    /// Returns the value that may be used once, and until when it must be stored.
    pub(super) fn single_use(&self) -> (Vec<u8>, u64) {
        let name = format!("dpop {} {}", self.key, self.jti);
        (Digest::of(name.as_bytes()).as_bytes().to_vec(), self.iat.saturating_add(2 * WINDOW))
    }
}

fn refuse_proof(error: Malformed) -> TokenError {
    TokenErrorCode::InvalidDpopProof.with(format!("DPoP: {error}"))
}
