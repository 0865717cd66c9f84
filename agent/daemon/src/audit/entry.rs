//! An entry of the queue. The writer makes it a record of the chain.

use pawl_proto::Epoch;
use pawl_proto::codec::Version;
use pawl_proto::record::{DeviceFact, DeviceRecord};

use crate::record::Moment;

/// A fact, and its time.
pub(super) struct Entry {
    /// Unix time of the device, seconds.
    pub(super) time: u64,
    pub(super) moment: Option<Moment>,
    pub(super) epoch: Option<Epoch>,
    pub(super) fact: DeviceFact,
}

impl Entry {
    pub(super) fn into_record(self, sequence: u64) -> DeviceRecord {
        DeviceRecord {
            version: Version,
            sequence,
            time: self.time,
            clock: self.moment.map(|moment| moment.clock_ms),
            resets: self.moment.map(|moment| moment.resets),
            epoch: self.epoch,
            fact: self.fact,
        }
    }
}
