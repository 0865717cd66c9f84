//! The DPoP proof (RFC 9449, section 4) of the token request, by the device key.

use p256::ecdsa::VerifyingKey;
use pawl_proto::Digest;
use serde::Deserialize;

use super::error::{TokenError, TokenErrorCode};
use super::jwk::jwk;
use super::jws::{self, Malformed};

/// So old, or so far ahead, may a proof be: seconds.
const WINDOW: u64 = 60;

/// A proof that was checked.
#[derive(Debug)]
pub(super) struct Proof {
    key: String,
    jti: String,
    iat: u64,
}

#[derive(Deserialize)]
struct Claims {
    htm: String,
    htu: String,
    iat: u64,
    jti: String,
}

impl Proof {
    /// Checks a proof for one request (RFC 9449, section 4.3).
    pub(super) fn verify(
        text: &str,
        key: &VerifyingKey,
        method: &str,
        url: &str,
        now: u64,
    ) -> Result<Self, TokenError> {
        let verified = jws::verify::<Claims>(text, key).map_err(refuse)?;
        if verified.header.typ.as_deref() != Some("dpop+jwt") {
            return Err(refuse(Malformed("typ: it is dpop+jwt")));
        }
        let expected = jwk(key);
        if verified.header.jwk.as_ref() != Some(&expected) {
            return Err(refuse(Malformed("jwk: it is the device key")));
        }
        let Claims { htm, htu, iat, jti } = verified.claims;
        if htm != method || htu != url {
            return Err(refuse(Malformed("htm or htu: they name this request")));
        }
        if now.abs_diff(iat) > WINDOW {
            return Err(refuse(Malformed("iat: it is more than a minute off; compare the clocks")));
        }
        if jti.is_empty() {
            return Err(refuse(Malformed("jti: it is empty")));
        }
        Ok(Self { key: expected.thumbprint(), jti, iat })
    }

    /// What may be used once, and until when that must be remembered.
    pub(super) fn single_use(&self) -> (Vec<u8>, u64) {
        let name = format!("dpop {} {}", self.key, self.jti);
        (Digest::of(name.as_bytes()).as_bytes().to_vec(), self.iat.saturating_add(2 * WINDOW))
    }
}

fn refuse(error: Malformed) -> TokenError {
    TokenErrorCode::InvalidDpopProof.with(format!("DPoP: {error}"))
}
