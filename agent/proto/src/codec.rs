//! Deterministic CBOR (RFC 8949, section 4.2.1), and nothing else.
//!
//! The encoder writes one form of each message, and the decoder accepts only that form. A digest of a message's bytes is
//! therefore a digest of its meaning, and no other parser can read the bytes differently.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_cbor::Value;

use crate::bounded::TooLong;
use crate::limits;

/// The version of all messages of this crate.
pub const VERSION: u64 = 1;

/// Encodes a message: definite lengths, shortest integers, keys in bytewise order, and no entry
/// for an optional field that has no value.
///
/// # Errors
/// [`EncodeError`] for a value that CBOR cannot hold; no type of [`crate::message`] has one.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, EncodeError> {
    // `Value` keeps its keys in a map ordered by length and then bytewise, which for text keys
    // is the bytewise order of their encodings.
    Ok(serde_cbor::to_vec(&form::of(message)?)?)
}

/// Decodes a message of at most `limit` bytes.
///
/// Unknown keys are ignored; an unknown version is refused.
///
/// # Errors
/// [`DecodeError`] says what is wrong with the bytes.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
    check_size(bytes, limit)?;
    let value: Value = serde_cbor::from_slice(bytes).map_err(DecodeError::malformed)?;
    if serde_cbor::to_vec(&value).map_err(DecodeError::malformed)? != bytes {
        return Err(DecodeError::NotCanonical);
    }
    if let Value::Map(entries) = &value {
        check_version(entries)?;
    }
    let message = serde_cbor::value::from_value(value.clone()).map_err(DecodeError::malformed)?;
    // Serde accepts a byte string as a text, a number as a key, an array as a map. Encode what it understood, and
    // compare.
    let understood = form::of(&message).map_err(DecodeError::malformed)?;
    if form::says(&value, &understood) { Ok(message) } else { Err(DecodeError::NotCanonical) }
}

/// Checks length and nesting before any parser sees the bytes.
pub(crate) fn check_size(bytes: &[u8], limit: usize) -> Result<(), DecodeError> {
    TooLong::check(bytes.len(), limit)?;
    depth::check(bytes, limits::DEPTH)
}

fn check_version(entries: &BTreeMap<Value, Value>) -> Result<(), DecodeError> {
    match entries.get(&Value::Text("version".to_owned())) {
        None | Some(Value::Integer(1)) => Ok(()),
        Some(_) => Err(DecodeError::Version),
    }
}

/// The `version` of every message: a unit type that is encoded as the number 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(VERSION)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            VERSION => Ok(Self),
            other => Err(D::Error::custom(format_args!("version {other}, where {VERSION} is spoken"))),
        }
    }
}

/// Why a message cannot be encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// CBOR cannot represent it.
    #[error("a message cannot be encoded: {0}")]
    Payload(#[from] serde_cbor::Error),
    /// COSE cannot represent it.
    #[error("a signed message cannot be encoded: {0}")]
    Envelope(coset::CoseError),
    /// It is longer than the limit for this message.
    #[error("a message cannot be encoded: {0}")]
    TooLong(#[from] TooLong),
}

/// Why bytes are not the expected message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is longer than the limit for this message.
    #[error("the message is too long: {0}")]
    TooLong(#[from] TooLong),
    /// Arrays and maps are nested deeper than in any message.
    #[error("the message nests deeper than {} levels", limits::DEPTH)]
    TooDeep,
    /// Not CBOR, cut off, with bytes after its end, or with fields missing or of another type.
    #[error("the message is malformed: {0}")]
    Malformed(String),
    /// CBOR, but not in its one deterministic form.
    #[error("the message is not in deterministic CBOR")]
    NotCanonical,
    /// The version is unknown.
    #[error("the message has another version than {VERSION}")]
    Version,
}

impl DecodeError {
    fn malformed(error: serde_cbor::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// The deterministic form of a value.
mod form {
    use serde::Serialize;
    use serde_cbor::Value;

    /// The form of a message: an optional field without a value has no entry.
    pub(super) fn of<T: Serialize>(message: &T) -> Result<Value, serde_cbor::Error> {
        let mut value = serde_cbor::value::to_value(message)?;
        strip(&mut value);
        Ok(value)
    }

    fn strip(value: &mut Value) {
        match value {
            Value::Map(entries) => {
                entries.retain(|_, value| *value != Value::Null);
                entries.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }

    /// Returns whether `received` contains what was decoded, and otherwise only unknown text keys.
    pub(super) fn says(received: &Value, understood: &Value) -> bool {
        match (received, understood) {
            (Value::Map(received), Value::Map(understood)) => {
                let unknown = |key: &Value| matches!(key, Value::Text(_)) && !understood.contains_key(key);
                understood
                    .iter()
                    .all(|(key, value)| received.get(key).is_some_and(|there| says(there, value)))
                    && received.iter().all(|(key, value)| {
                        understood.contains_key(key) || (unknown(key) && *value != Value::Null)
                    })
            }
            (Value::Array(received), Value::Array(understood)) => {
                received.len() == understood.len()
                    && received.iter().zip(understood).all(|(there, value)| says(there, value))
            }
            (there, value) => there == value,
        }
    }
}

/// Checks the nesting before a recursive parser sees the bytes.
mod depth {
    use crate::DecodeError;

    /// Reads only the heads of the items, and allocates one counter per level. Leaves anything that it cannot read to
    /// the parser, whose error is better.
    pub(super) fn check(bytes: &[u8], limit: usize) -> Result<(), DecodeError> {
        let mut open: Vec<u64> = Vec::new();
        let mut rest = bytes;
        while let Some((head, after)) = rest.split_first() {
            let (argument_length, major) = (head & 31, head >> 5);
            let Some((argument, after)) = argument(argument_length, after) else { return Ok(()) };
            let children = match major {
                2 | 3 => {
                    let Some(skipped) = usize::try_from(argument).ok().and_then(|length| after.get(length..))
                    else {
                        return Ok(());
                    };
                    rest = skipped;
                    0
                }
                4 => argument,
                5 => argument.saturating_mul(2),
                6 => 1,
                _ => 0,
            };
            if !matches!(major, 2 | 3) {
                rest = after;
            }
            if children > 0 {
                if open.len() >= limit {
                    return Err(DecodeError::TooDeep);
                }
                open.push(children);
                continue;
            }
            while let Some(remaining) = open.last_mut() {
                *remaining -= 1;
                if *remaining > 0 {
                    break;
                }
                open.pop();
            }
            if open.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn argument(info: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
        let length = match info {
            0..=23 => return Some((u64::from(info), rest)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            // Deterministic CBOR has no indefinite lengths: the comparison of forms refuses them, and the parser
            // has a depth limit of its own.
            _ => return None,
        };
        let (argument, rest) = rest.split_at_checked(length)?;
        Some((argument.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)), rest))
    }
}
