use pawl_proto::message::Audit;
use pawl_proto::record::{DeviceRecord, Link};
use pawl_proto::{Digest, limits};

/// The highest accepted sequence: the largest integer of SQLite.
const LAST: u64 = i64::MAX.unsigned_abs();

/// The part of a device's chain in a report. Each record contains the digest of the one before.
#[derive(Debug)]
pub(super) struct ShownChain {
    /// The sequence of the first received record; without any, of the next record.
    pub(super) first: u64,
    /// The digest of the record before it.
    pub(super) previous: Digest,
    /// The received records, by sequence.
    pub(super) links: Vec<(u64, Link)>,
    /// The sequence of the last received record, or of the one before `first`.
    pub(super) last: u64,
    /// The sequence of the device's last record, as the device claims.
    pub(super) newest: u64,
}

impl ShownChain {
    /// Parses the records of a report and verifies their chain.
    pub(super) fn parse(audit: &Audit) -> Result<Self, ShownError> {
        let length: usize = audit.records.iter().map(|record| record.as_bytes().len()).sum();
        if length > limits::RECORDS {
            return Err(ShownError::TooMany);
        }
        let mut links: Vec<(u64, Link)> = Vec::new();
        let (mut next, mut previous) = (audit.first, audit.previous);
        if next == 0 || (next == 1 && previous != Link::START) {
            return Err(ShownError::Start);
        }
        for bytes in &audit.records {
            let record: DeviceRecord = pawl_proto::decode(bytes.as_bytes(), limits::RECORD)
                .map_err(|_| ShownError::Record { sequence: next })?;
            if record.sequence != next || next >= LAST {
                return Err(ShownError::Record { sequence: next });
            }
            let link = Link::follow(previous, bytes.as_bytes().to_vec());
            previous = link.digest;
            links.push((next, link));
            next += 1;
        }
        if previous != audit.head {
            return Err(ShownError::Head);
        }
        let last = next - 1;
        let newest =
            last.checked_add(audit.pending).filter(|newest| *newest < LAST).ok_or(ShownError::Head)?;
        Ok(Self { first: audit.first, previous: audit.previous, links, last, newest })
    }

    /// Returns the digest of the last received record, or of the one before `first`.
    pub(super) fn head(&self) -> Digest {
        self.links.last().map_or(self.previous, |(_, link)| link.digest)
    }
}

/// Why the records of a report are malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ShownError {
    #[error("larger than a report may contain")]
    TooMany,
    #[error("the first sequence or digest of the chain is invalid")]
    Start,
    #[error("record {sequence} is malformed or out of sequence")]
    Record { sequence: u64 },
    #[error("the head does not match the records")]
    Head,
}
