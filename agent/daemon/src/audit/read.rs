//! Reads records from the chain, for reports and for an administrator of the device.

use pawl_local_api::{LocalRecord, LocalRecords};
use pawl_proto::codec;
use pawl_proto::limits;
use pawl_proto::message::Audit;
use pawl_proto::record::RecordBytes;

use super::chain::{Chain, ChainError};

/// Size of the head of a byte string in CBOR (RFC 8949, section 3), for the lengths of records.
const HEAD: usize = 3;

impl Chain {
    /// Returns the records after `acknowledged`, at most as many as fit into one report. If the control plane has acknowledged a
    /// record that this chain does not have, the report starts with the oldest record, so that the control plane sees that this
    /// is another chain.
    pub(super) fn report(&self, acknowledged: u64) -> Result<Audit, ChainError> {
        let known = if acknowledged < self.next { acknowledged } else { 0 };
        let mut audit =
            Audit { first: self.next, previous: self.head, records: Vec::new(), head: self.head, pending: 0 };
        let mut room = limits::RECORDS;
        let mut last = self.next.saturating_sub(1);
        self.after(known, |sequence, link| {
            let Some(left) = room.checked_sub(link.body.len() + HEAD) else { return false };
            let Ok(body) = RecordBytes::new(link.body) else { return false };
            if audit.records.is_empty() {
                (audit.first, audit.previous) = (sequence, link.previous);
            }
            room = left;
            last = sequence;
            audit.head = link.digest;
            audit.records.push(body);
            true
        })?;
        audit.pending = self.next.saturating_sub(1).saturating_sub(last);
        Ok(audit)
    }

    /// Returns at most `count` records after `sequence`.
    pub(super) fn page(&self, sequence: u64, count: usize) -> Result<LocalRecords, ChainError> {
        let mut page = LocalRecords { records: Vec::new(), more: false };
        let mut malformed = false;
        self.after(sequence, |_, link| {
            page.more = page.records.len() >= count;
            if page.more {
                return false;
            }
            match codec::decode(&link.body, limits::RECORD) {
                Ok(record) => page.records.push(LocalRecord {
                    record,
                    previous: link.previous.to_string(),
                    digest: link.digest.to_string(),
                }),
                Err(_) => malformed = true,
            }
            !malformed
        })?;
        if malformed { Err(ChainError::Damaged("a record is malformed")) } else { Ok(page) }
    }
}
