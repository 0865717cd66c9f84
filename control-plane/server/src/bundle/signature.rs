//! The signature of a bundle: a JWS (RFC 7515) with the digest of the contents. Also the encodings of byte strings in a
//! bundle's JSON; a byte string has exactly one valid encoding.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use p256::ecdsa::Signature;
use pawl_jose::{ALGORITHM, Compact};
use pawl_proto::{DeviceId, Digest};
use rustls::pki_types::{CertificateDer, UnixTime};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use webpki::ring::ECDSA_P256_SHA256;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::{BundleError, Contents, Format};
use crate::keys::{AUDIT_EKU_OID, AuditKey};

const TYPE: &str = "pawl-records+jwt";
/// The longest signature that is parsed: two certificates and some claims.
const MAX_LENGTH: usize = 16 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    /// The audit key's certificate, then the authority's.
    x5c: Vec<String>,
}

/// The signed claims. The digest covers all contents; the other claims are for people who read the JWS.
#[derive(Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Claims {
    format: Format,
    device: DeviceId,
    iat: u64,
    records: usize,
    head: Option<Hex>,
    device_records: usize,
    sha256: Hex,
}

impl Claims {
    fn of(contents: &Contents) -> Result<Self, BundleError> {
        let bytes = serde_json::to_vec(contents).map_err(BundleError::Contents)?;
        Ok(Self {
            format: contents.format,
            device: contents.device,
            iat: contents.time,
            records: contents.records.len(),
            head: contents.records.last().map(|record| record.digest),
            device_records: contents.device_records.len(),
            sha256: Hex(Digest::of(&bytes)),
        })
    }
}

pub(super) fn sign(contents: &Contents, key: &AuditKey, authority: &[u8]) -> Result<String, BundleError> {
    sign_claims(TYPE, &Claims::of(contents)?, key, authority).map_err(BundleError::Contents)
}

/// Signs claims with the audit key, as a JWS of this type.
pub(crate) fn sign_claims(
    typ: &str,
    claims: &impl Serialize,
    key: &AuditKey,
    authority: &[u8],
) -> Result<String, serde_json::Error> {
    let header = Header {
        alg: ALGORITHM.to_owned(),
        typ: typ.to_owned(),
        x5c: [key.certificate().as_ref(), authority].map(|der| BASE64_STANDARD.encode(der)).to_vec(),
    };
    let input = pawl_jose::signing_input(serde_json::to_vec(&header)?, serde_json::to_vec(claims)?);
    let signature = key.sign(input.as_bytes());
    Ok(pawl_jose::signed(&input, &signature))
}

pub(super) fn verify(jws: &str, contents: &Contents, authority: &[u8]) -> Result<(), SignatureError> {
    let claims: Claims = verify_claims(TYPE, jws, contents.time, authority)?;
    match Claims::of(contents) {
        Ok(due) if due == claims => {}
        _ => return Err(SignatureError::Contents),
    }
    match &contents.checkpoint {
        Some(checkpoint) => checkpoint.verify(contents.device, authority),
        None => Ok(()),
    }
}

/// Verifies that an audit key of this authority signed a JWS of this type, and returns its claims.
pub(crate) fn verify_claims<T: DeserializeOwned>(
    typ: &str,
    jws: &str,
    at: u64,
    authority: &[u8],
) -> Result<T, SignatureError> {
    let jws = Compact::parse(jws, MAX_LENGTH).map_err(|_| SignatureError::Form)?;
    let header: Header = jws.header().map_err(|_| SignatureError::Form)?;
    if header.alg != ALGORITHM || header.typ != typ {
        return Err(SignatureError::Form);
    }
    let leaf = header.x5c.first().ok_or(SignatureError::Form)?;
    let leaf = BASE64_STANDARD.decode(leaf).map_err(|_| SignatureError::Form)?;
    verify_signed(&leaf.into(), authority, at, &jws)?;
    jws.claims().map_err(|_| SignatureError::Form)
}

/// Verifies that the authority certified the key in `leaf` as an audit key, and that this key signed the JWS.
fn verify_signed(
    leaf: &CertificateDer<'_>,
    authority: &[u8],
    at: u64,
    jws: &Compact<'_>,
) -> Result<(), SignatureError> {
    let authority = CertificateDer::from(authority);
    let anchor = anchor_from_trusted_cert(&authority).map_err(|_| SignatureError::Authority)?;
    let leaf = EndEntityCert::try_from(leaf).map_err(SignatureError::Certificate)?;
    leaf.verify_for_usage(
        &[ECDSA_P256_SHA256],
        &[anchor],
        &[],
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(at)),
        KeyUsage::required(&AUDIT_EKU_OID),
        None,
        None,
    )
    .map_err(SignatureError::Certificate)?;
    let signature = Signature::from_slice(jws.signature()).map_err(|_| SignatureError::Form)?;
    leaf.verify_signature(ECDSA_P256_SHA256, jws.signing_input().as_bytes(), signature.to_der().as_bytes())
        .map_err(|_| SignatureError::Signature)
}

/// Why a signature is not valid.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// Not a JWS of this type.
    #[error("the bundle's signature is malformed")]
    Form,
    /// The authority's certificate cannot be read.
    #[error("the trusted certificate cannot be read: give the control plane's ca.pem")]
    Authority,
    /// The authority did not issue the certificate, or issued it for another purpose.
    #[error("the bundle is not signed by a control plane of this authority: {0}")]
    Certificate(webpki::Error),
    /// Forged or altered.
    #[error("the bundle's signature is invalid")]
    Signature,
    /// The signature is for other contents.
    #[error("the bundle was altered after it was signed")]
    Contents,
}

/// Bytes as Base64 (RFC 4648, section 4).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Base64(pub Vec<u8>);

/// A digest as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex(pub Digest);

/// Parses 64 lower-case hexadecimal digits.
pub(super) fn digest(text: &str) -> Option<Digest> {
    let bytes = hex::decode(text).ok()?;
    let digest = Digest::try_from(bytes.as_slice()).ok()?;
    (digest.to_string() == text).then_some(digest)
}

impl std::fmt::Debug for Base64 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BASE64_STANDARD.decode(String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        digest(&text).map(Self).ok_or_else(|| D::Error::custom("not 64 lower-case hexadecimal digits"))
    }
}
