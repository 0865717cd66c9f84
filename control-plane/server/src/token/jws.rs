//! JWS by software keys and by device keys: ES256 alone.

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use pawl_jose::{ALGORITHM, Compact, CompactError, Jwk};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{TokenError, TokenErrorCode};

/// No assertion or proof of a device comes near it.
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
    /// Extensions that must be understood (RFC 7515, section 4.1.11): none is.
    #[serde(default, skip_serializing)]
    crit: Option<serde_json::Value>,
}

impl Header {
    /// RFC 9068, section 2.1.
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

/// A JWS whose signature has been checked.
#[derive(Debug)]
pub(crate) struct Verified<T> {
    pub(crate) header: Header,
    pub(crate) claims: T,
}

/// The claims of a JWS, if `key` signed it.
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

/// The claims of a JWS whose signature has *not* been checked: to find the key with.
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

/// A text that is no JWS of this key; names the part that is wrong.
#[derive(Debug, thiserror::Error)]
#[error("wrong {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);
