//! Byte strings in JSON, each in one form alone.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pawl_proto::Digest;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes as Base64 (RFC 4648, section 4).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Base64(pub Vec<u8>);

/// A digest as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex(pub Digest);

/// The digest that such a text stands for.
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
