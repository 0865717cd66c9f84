use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use p256::ecdsa::VerifyingKey;
use pawl_proto::Digest;
use serde::{Deserialize, Serialize};

/// A P-256 public key as JSON (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    // The fields stand in the order that RFC 7638 hashes them in.
    crv: String,
    kty: String,
    x: String,
    y: String,
}

impl Jwk {
    /// The thumbprint (RFC 7638), base64url.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // Every value is of our own making or was compared with one: nothing in it needs escaping.
        let canonical =
            format!(r#"{{"crv":"{}","kty":"{}","x":"{}","y":"{}"}}"#, self.crv, self.kty, self.x, self.y);
        BASE64URL.encode(Digest::of(canonical.as_bytes()).as_bytes())
    }
}

impl From<&VerifyingKey> for Jwk {
    fn from(key: &VerifyingKey) -> Self {
        let point = key.to_encoded_point(false);
        let coordinate =
            |bytes: Option<&p256::FieldBytes>| BASE64URL.encode(bytes.copied().unwrap_or_default());
        Self {
            crv: "P-256".to_owned(),
            kty: "EC".to_owned(),
            x: coordinate(point.x()),
            y: coordinate(point.y()),
        }
    }
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
    /// The set of one key.
    #[must_use]
    pub fn of(key: &VerifyingKey) -> Self {
        let key = Jwk::from(key);
        Self { keys: vec![PublishedJwk { kid: key.thumbprint(), key, alg: "ES256", usage: "sig" }] }
    }
}
