//! JSON Web Signatures in compact form (RFC 7515) with ES256, and P-256 keys as JSON (RFC 7517).
//!
//! The caller has the keys: a TPM or a software key signs the text of [`signing_input`]. A verifier checks
//! [`Compact::signature`] over [`Compact::signing_input`], and must not trust the content of a [`Compact`] before that.
#![forbid(unsafe_code)]

mod jwk;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

pub use jwk::{Jwk, coordinate};

/// The `alg` of every signature here (RFC 7518, section 3.4).
pub const ALGORITHM: &str = "ES256";

/// The length of the part after the signing input: a dot, and 64 bytes in base64url.
pub const SIGNATURE_LEN: usize = 1 + 86;

/// Returns the text that a key signs: the JSON header and the JSON claims, each in base64url, with a dot between them.
#[must_use]
pub fn signing_input(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    format!("{}.{}", encode(header), encode(claims))
}

/// Returns the JWS: the signing input, a dot, and its signature r ‖ s.
#[must_use]
pub fn signed(signing_input: &str, signature: &[u8; 64]) -> String {
    format!("{signing_input}.{}", encode(signature))
}

/// Returns the SHA-256 of a text in base64url, as in the claim `ath` (RFC 9449, section 4.2).
#[must_use]
pub fn hash(text: &str) -> String {
    encode(Sha256::digest(text))
}

/// A parsed JWS. Its signature is not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compact<'a> {
    signing_input: &'a str,
    header: Vec<u8>,
    claims: Vec<u8>,
    signature: [u8; 64],
}

impl<'a> Compact<'a> {
    /// Parses a JWS of at most `max_len` bytes.
    ///
    /// # Errors
    /// [`CompactError`]
    pub fn parse(text: &'a str, max_len: usize) -> Result<Self, CompactError> {
        if text.len() > max_len {
            return Err(CompactError::TooLong);
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(CompactError::Form)?;
        let [header, claims] = split(signing_input)?;
        let signature = decode(signature)?.try_into().map_err(|_| CompactError::Signature)?;
        Ok(Self { signing_input, header, claims, signature })
    }

    /// Deserializes the header.
    ///
    /// # Errors
    /// If it is not JSON of this type.
    pub fn header<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.header)
    }

    /// Deserializes the claims.
    ///
    /// # Errors
    /// If they are not JSON of this type.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.claims)
    }

    /// Returns the signed text.
    #[must_use]
    pub fn signing_input(&self) -> &'a str {
        self.signing_input
    }

    /// Returns the signature r ‖ s.
    #[must_use]
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

/// Decodes header and claims of a signing input.
///
/// # Errors
/// If it is not two parts in base64url with a dot between them.
pub fn split(signing_input: &str) -> Result<[Vec<u8>; 2], CompactError> {
    let (header, claims) = signing_input.split_once('.').ok_or(CompactError::Form)?;
    Ok([decode(header)?, decode(claims)?])
}

/// Why a text is not a JWS in compact form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// It is longer than the caller allows.
    #[error("too long")]
    TooLong,
    /// It is not three parts in base64url.
    #[error("not in compact form")]
    Form,
    /// Its signature does not have 64 bytes.
    #[error("not a signature of 64 bytes")]
    Signature,
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url, and only its canonical form: no padding, and unused bits are zero.
fn decode(part: &str) -> Result<Vec<u8>, CompactError> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| CompactError::Form)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_written_jws_is_parsed_again() {
        let (header, claims) = (json!({"alg": ALGORITHM}), json!({"sub": "a"}));
        let input = signing_input(header.to_string(), claims.to_string());
        // The text of RFC 7515, appendix A.3, for this header.
        assert_eq!(input.split_once('.').unwrap().0, "eyJhbGciOiJFUzI1NiJ9");
        let text = signed(&input, &[7; 64]);
        assert_eq!(text.len(), input.len() + SIGNATURE_LEN);
        let read = Compact::parse(&text, text.len()).unwrap();
        assert_eq!((read.signing_input(), read.signature()), (input.as_str(), &[7; 64]));
        assert_eq!((read.header::<Value>().unwrap(), read.claims::<Value>().unwrap()), (header, claims));
    }

    #[test]
    fn a_text_of_another_form_is_refused() {
        let valid = signed("e30.e30", &[7; 64]);
        assert_eq!(Compact::parse(&valid, valid.len() - 1), Err(CompactError::TooLong));
        let short = format!("e30.e30.{}", encode([7; 63]));
        for (text, error) in [
            ("", CompactError::Form),
            ("e30.e30", CompactError::Form),
            (short.as_str(), CompactError::Signature),
            (&format!("{valid}="), CompactError::Form),
            (&format!("e30.{valid}"), CompactError::Form),
            (&valid.replace("e30.", "e31."), CompactError::Form),
            (&valid.replace("e30.", "é."), CompactError::Form),
        ] {
            assert_eq!(Compact::parse(text, 1000), Err(error), "{text}");
        }
    }

    #[test]
    fn the_hash_of_an_access_token_is_that_of_rfc_9449() {
        // RFC 9449, section 7.1.
        let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
        assert_eq!(hash(token), "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
    }
}
