use pawl_proto::record::{DeviceRecord, Link};
use pawl_proto::{DeviceId, PairingId, limits};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use pawl_verifier::audit::DeviceRecordRow;
use pawl_verifier::record::{Fact, Record};

/// One line of `records`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordView {
    /// The device.
    pub device: DeviceId,
    /// Its place in the chain.
    pub sequence: u64,
    /// When it was recorded, Unix seconds.
    pub time: u64,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
    /// The digest of the record before it, hexadecimal.
    pub previous: String,
    /// Its own digest, hexadecimal.
    pub digest: String,
}

/// One line of `records --device`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceRecordView {
    /// The number of the device's chain, from 1.
    pub chain: u32,
    /// Its place in the chain.
    pub sequence: u64,
    /// The pairing in whose report it was received.
    pub pairing: PairingId,
    /// When it was received, Unix seconds of the control plane's clock.
    pub received_at: u64,
    /// The device's record, byte strings in hexadecimal; none if it cannot be decoded.
    pub record: Option<Value>,
    /// The digest of the record before it, hexadecimal.
    pub previous: String,
    /// Its own digest, hexadecimal.
    pub digest: String,
}

impl RecordView {
    pub(crate) fn new(record: Record, link: &Link) -> Self {
        let Record { device, sequence, time, fact } = record;
        Self {
            device,
            sequence,
            time,
            fact,
            previous: link.previous.to_string(),
            digest: link.digest.to_string(),
        }
    }
}

impl From<DeviceRecordRow> for DeviceRecordView {
    fn from(row: DeviceRecordRow) -> Self {
        let DeviceRecordRow { chain, sequence, pairing, received_at, link } = row;
        let record: Option<DeviceRecord> = pawl_proto::decode(&link.body, limits::RECORD).ok();
        Self {
            chain,
            sequence,
            pairing,
            received_at,
            record: record.and_then(|record| serde_json::to_value(record).ok()).map(readable),
            previous: link.previous.to_string(),
            digest: link.digest.to_string(),
        }
    }
}

/// Replaces arrays of numbers with hexadecimal strings: serde writes byte strings as such arrays in JSON, and a record
/// has no other arrays of numbers.
fn readable(value: Value) -> Value {
    match value {
        Value::Array(items) => match bytes(&items) {
            Some(bytes) => Value::String(hex::encode(bytes)),
            None => Value::Array(items.into_iter().map(readable).collect()),
        },
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, readable(value))).collect())
        }
        other => other,
    }
}

fn bytes(items: &[Value]) -> Option<Vec<u8>> {
    if items.is_empty() {
        return None;
    }
    items.iter().map(|item| u8::try_from(item.as_u64()?).ok()).collect()
}
