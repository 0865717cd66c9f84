use p256::ecdsa::VerifyingKey;
use pawl_jose::Jwk;
use serde::Serialize;

/// A key as JSON.
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
    /// The set of one key.
    #[must_use]
    pub fn of(key: &VerifyingKey) -> Self {
        let key = jwk(key);
        Self {
            keys: vec![PublishedJwk { kid: key.thumbprint(), key, alg: pawl_jose::ALGORITHM, usage: "sig" }],
        }
    }
}
