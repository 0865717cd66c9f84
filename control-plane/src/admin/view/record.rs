use pawl_proto::DeviceId;
use serde::{Deserialize, Serialize};

use crate::record::{Fact, Link, Record};

/// One line of `records`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordView {
    /// The device.
    pub device: DeviceId,
    /// Its place in the chain.
    pub sequence: u64,
    /// When, Unix seconds.
    pub time: u64,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
    /// The digest of the record before it, hexadecimal.
    pub previous: String,
    /// Its own.
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
