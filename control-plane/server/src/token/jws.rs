//! JWS and JWK of token requests and tokens, with ES256 only.

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use pawl_jose::{ALGORITHM, Compact, CompactError, Jwk};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{TokenError, TokenErrorCode};

/// The longest JWS that is parsed.
const MAX_LENGTH: usize = 8 * 1024;

/// The header.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) typ: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) jwk: Option<Jwk>,
    /// Critical extensions (RFC 7515, section 4.1.11); none is supported.
    #[serde(default, skip_serializing)]
    crit: Option<serde_json::Value>,
}

impl Header {
    /// Returns the header of an access token (RFC 9068, section 2.1).
    pub(super) fn access_token(kid: String) -> Self {
        Self {
            alg: ALGORITHM.to_owned(),
            typ: Some("at+jwt".to_owned()),
            kid: Some(kid),
            jwk: None,
            crit: None,
        }
    }
}

/// A JWS with a verified signature.
#[derive(Debug)]
pub(crate) struct Verified<T> {
    pub(crate) header: Header,
    pub(crate) claims: T,
}

/// Verifies that `key` signed a JWS, and returns its header and claims.
pub(crate) fn verify<T: DeserializeOwned>(text: &str, key: &VerifyingKey) -> Result<Verified<T>, Malformed> {
    let jws = split(text)?;
    let header: Header = jws.header().map_err(|_| Malformed("header"))?;
    if header.alg != ALGORITHM || header.crit.is_some() {
        return Err(Malformed("algorithm: only ES256 is accepted"));
    }
    let signature = Signature::from_slice(jws.signature()).map_err(|_| Malformed("signature"))?;
    key.verify(jws.signing_input().as_bytes(), &signature).map_err(|_| Malformed("signature"))?;
    let claims = jws.claims().map_err(|_| Malformed("claims"))?;
    Ok(Verified { header, claims })
}

/// Returns the unverified claims of a JWS, to find its key.
pub(crate) fn peek<T: DeserializeOwned>(text: &str) -> Result<T, Malformed> {
    split(text)?.claims().map_err(|_| Malformed("claims"))
}

pub(super) fn sign<T: Serialize>(
    header: &Header,
    claims: &T,
    key: &SigningKey,
) -> Result<String, TokenError> {
    let cannot = |_| TokenErrorCode::ServerError.with("the token cannot be encoded");
    let header = serde_json::to_vec(header).map_err(cannot)?;
    let input = pawl_jose::signing_input(header, serde_json::to_vec(claims).map_err(cannot)?);
    let signature: Signature = key.sign(input.as_bytes());
    Ok(pawl_jose::signed(&input, &signature.to_bytes().into()))
}

fn split(text: &str) -> Result<Compact<'_>, Malformed> {
    Compact::parse(text, MAX_LENGTH).map_err(|error| match error {
        CompactError::TooLong => Malformed("length"),
        CompactError::Form => Malformed("form"),
        CompactError::Signature => Malformed("signature"),
    })
}

/// Why a text is not a valid JWS by this key; names the wrong part.
#[derive(Debug, thiserror::Error)]
#[error("wrong {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Returns a key as JWK.
pub(crate) fn jwk(key: &VerifyingKey) -> Jwk {
    let point = key.to_encoded_point(false);
    let coordinate = |bytes: Option<&p256::FieldBytes>| bytes.copied().unwrap_or_default().into();
    Jwk::p256(&coordinate(point.x()), &coordinate(point.y()))
}

/// `GET /.well-known/jwks.json`: the keys that sign access tokens (RFC 7517, section 5).
#[derive(Serialize)]
pub struct JwkSet {
    keys: Vec<PublishedJwk>,
}

#[derive(Serialize)]
struct PublishedJwk {
    #[serde(flatten)]
    key: Jwk,
    kid: String,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
}

impl JwkSet {
    /// Returns the set of one key.
    #[must_use]
    pub fn of(key: &VerifyingKey) -> Self {
        let key = jwk(key);
        Self {
            keys: vec![PublishedJwk { kid: key.thumbprint(), key, alg: pawl_jose::ALGORITHM, usage: "sig" }],
        }
    }
}
