//! How values of ours stand in columns.

use std::str::FromStr;

use pawl_proto::limits;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// No blob of ours is longer: a boot log and an IMA state at most.
const MAX_BLOB: usize = limits::MESSAGE * 2;

/// A structure as deterministic CBOR.
pub(super) fn to_blob<T: Serialize>(value: &T, what: &'static str) -> Result<Vec<u8>, StoreError> {
    pawl_proto::encode(value).map_err(|_| StoreError::Malformed(what))
}

pub(super) fn from_blob<T: serde::Serialize + DeserializeOwned>(
    blob: &[u8],
    what: &'static str,
) -> Result<T, StoreError> {
    pawl_proto::decode(blob, MAX_BLOB).map_err(|_| StoreError::Malformed(what))
}

pub(super) fn from_text<T: FromStr>(text: &str, what: &'static str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Malformed(what))
}

pub(super) fn from_bytes<'a, T: TryFrom<&'a [u8]>>(
    bytes: &'a [u8],
    what: &'static str,
) -> Result<T, StoreError> {
    T::try_from(bytes).map_err(|_| StoreError::Malformed(what))
}

/// The name that serde gives a unit variant, for enums that stand as text.
pub(super) fn to_name<T: Serialize>(value: T, what: &'static str) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => Ok(name),
        _ => Err(StoreError::Malformed(what)),
    }
}

/// Returns a value that this program wrote, and so knows.
pub(super) fn known<T>(value: T, is_known: bool, what: &'static str) -> Result<T, StoreError> {
    if is_known { Ok(value) } else { Err(StoreError::Malformed(what)) }
}

pub(super) fn from_name<T: serde::Serialize + DeserializeOwned>(
    name: String,
    what: &'static str,
) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(name)).map_err(|_| StoreError::Malformed(what))
}
