//! JWS in compact form (RFC 7515), ES256 alone.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{TokenError, TokenErrorCode};
use super::jwk::Jwk;

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
            alg: "ES256".to_owned(),
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
    let Parts { signed, header, claims, signature } = split(text)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| Malformed("header"))?;
    if header.alg != "ES256" || header.crit.is_some() {
        return Err(Malformed("algorithm: only ES256 is accepted"));
    }
    let signature = Signature::from_slice(&signature).map_err(|_| Malformed("signature"))?;
    key.verify(signed.as_bytes(), &signature).map_err(|_| Malformed("signature"))?;
    let claims = serde_json::from_slice(&claims).map_err(|_| Malformed("claims"))?;
    Ok(Verified { header, claims })
}

/// The claims of a JWS whose signature has *not* been checked: to find the key with.
pub(crate) fn peek<T: DeserializeOwned>(text: &str) -> Result<T, Malformed> {
    serde_json::from_slice(&split(text)?.claims).map_err(|_| Malformed("claims"))
}

pub(super) fn sign<T: Serialize>(
    header: &Header,
    claims: &T,
    key: &SigningKey,
) -> Result<String, TokenError> {
    let encode = |json: Result<Vec<u8>, serde_json::Error>| match json {
        Ok(json) => Ok(BASE64URL.encode(json)),
        Err(_) => Err(TokenErrorCode::ServerError.with("the token cannot be encoded")),
    };
    let signed = format!("{}.{}", encode(serde_json::to_vec(header))?, encode(serde_json::to_vec(claims))?);
    let signature: Signature = key.sign(signed.as_bytes());
    Ok(format!("{signed}.{}", BASE64URL.encode(signature.to_bytes())))
}

/// A JWS taken apart and decoded; nothing of it has been checked.
struct Parts<'a> {
    signed: &'a str,
    header: Vec<u8>,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

fn split(text: &str) -> Result<Parts<'_>, Malformed> {
    if text.len() > MAX_LENGTH {
        return Err(Malformed("length"));
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(Malformed("form"))?;
    let (header, claims) = signed.split_once('.').ok_or(Malformed("form"))?;
    let decode = |part: &str| BASE64URL.decode(part).map_err(|_| Malformed("encoding"));
    Ok(Parts { signed, header: decode(header)?, claims: decode(claims)?, signature: decode(signature)? })
}

/// A text that is no JWS of this key; names the part that is wrong.
#[derive(Debug, thiserror::Error)]
#[error("wrong {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);
