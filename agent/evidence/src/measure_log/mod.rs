//! systemd's log of what user space extended into PCRs and NvPCRs (`/run/log/systemd/tpm2-measure.log`, systemd
//! 259 and later): a JSON text sequence (RFC 7464), one object per record.
//!
//! Nothing protects the log itself. Its records count only if they extend a PCR from the firmware log's value to
//! the quoted value. Root can write any text into a record. The TPM confirms the text only if its hash is the
//! record's digest; [`Record::measured`] checks that.
//!
//! systemd sets the file's sticky bit before it extends a PCR and clears it after it has appended the record. A
//! reader of a file with that bit set misses a record.

#[cfg(feature = "verifier")]
mod facts;
mod nvpcr;
mod record;

use crate::tpm::{HashAlgorithm, PcrValues, TaggedDigest};

#[cfg(feature = "verifier")]
pub use facts::{OS_SEPARATOR_PCRS, os_separator};
pub use nvpcr::{NVPCR_INIT_PCR, NvPcrInit, NvPcrNames};
pub use record::{MeasureLogError, Record, Target};

/// The size limit of a log, in bytes. A boot writes 11 KiB, each restart of a phase 1 KiB more.
pub const MEASURE_LOG_MAX_LEN: usize = 1024 * 1024;

/// The size limit of a record, in bytes. systemd cuts a text after 1024 bytes; escaped it has 8 KiB at most.
pub const RECORD_MAX_LEN: usize = 16 * 1024;

/// RFC 7464: the first byte of a record.
const RECORD_SEPARATOR: u8 = 0x1e;
const LINE_FEED: u8 = 0x0a;

/// A parsed log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MeasureLog {
    records: Vec<Record>,
}

impl MeasureLog {
    /// Parses the log. Omits a last record without its line feed, which systemd is still writing.
    ///
    /// # Errors
    /// If the log or a record is too long, or a record is malformed.
    pub fn parse(log: &[u8]) -> Result<Self, MeasureLogError> {
        if log.len() > MEASURE_LOG_MAX_LEN {
            return Err(MeasureLogError::TooLong(log.len()));
        }
        let mut records = Vec::new();
        let mut rest = log;
        while let Some((first, behind)) = rest.split_first() {
            let offset = log.len().saturating_sub(rest.len());
            if *first != RECORD_SEPARATOR {
                return Err(MeasureLogError::Framing { offset });
            }
            let end = behind.iter().position(|byte| [RECORD_SEPARATOR, LINE_FEED].contains(byte));
            if end.unwrap_or(behind.len()) > RECORD_MAX_LEN {
                return Err(MeasureLogError::RecordTooLong { offset });
            }
            let Some((json, rest_with_feed)) = end.and_then(|end| behind.split_at_checked(end)) else {
                break;
            };
            let Some(next) = rest_with_feed.strip_prefix(&[LINE_FEED]) else {
                return Err(MeasureLogError::Framing { offset });
            };
            records.push(Record::read(json, records.len().saturating_add(1), offset)?);
            rest = next;
        }
        Ok(Self { records })
    }

    /// Returns the records in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Returns the records of one PCR in the order of their extends. The order between PCRs differs from boot to
    /// boot.
    pub fn of_pcr(&self, pcr: u8) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.target == Target::Pcr(pcr))
    }

    /// Returns the records of one NvPCR in the order of their extends.
    pub fn of_nv_index(&self, index: u32) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.target == Target::NvIndex(index))
    }

    /// Returns the values after the records, starting from `before`. A PCR that `before` lacks starts with its
    /// reset value.
    pub fn replay(&self, before: &PcrValues) -> PcrValues {
        let mut pcrs = before.clone();
        for record in &self.records {
            let Target::Pcr(pcr) = record.target else { continue };
            for digest in &record.digests {
                let bank = digest.algorithm();
                let old = pcrs.get(bank, pcr).copied().unwrap_or_else(|| TaggedDigest::at_reset(bank, pcr));
                // `insert` cannot fail: the index was checked when the record was parsed.
                let _ = pcrs.insert(pcr, old.extend(digest.as_bytes()));
            }
        }
        pcrs
    }

    /// Returns how many of a PCR's records, from the first, extend `before` to `quoted`; `None` if no number of them
    /// does. systemd wrote the records after these after the quote, so they are not evidence.
    pub fn leads(&self, pcr: u8, before: &TaggedDigest, quoted: &TaggedDigest) -> Option<usize> {
        let records = self.of_pcr(pcr);
        lead(records, before, quoted)
    }

    /// Returns how many of an NvPCR's records, from the first, give `value`; `None` if no number of them does. systemd
    /// first extends each NvPCR with a digest of zero bytes, which no log contains.
    pub fn leads_nv(&self, index: u32, value: &TaggedDigest) -> Option<usize> {
        let zeros = TaggedDigest::filled(value.algorithm(), 0);
        lead(self.of_nv_index(index), &zeros.extend(zeros.as_bytes()), value)
    }
}

fn lead<'r>(
    records: impl Iterator<Item = &'r Record>,
    before: &TaggedDigest,
    after: &TaggedDigest,
) -> Option<usize> {
    let bank: HashAlgorithm = before.algorithm();
    let mut value = *before;
    let mut count = 0_usize;
    if value == *after {
        return Some(count);
    }
    for record in records {
        count = count.saturating_add(1);
        // A record without a digest for this bank did not extend it.
        let Some(digest) = record.digest(bank) else { continue };
        value = value.extend(digest.as_bytes());
        if value == *after {
            return Some(count);
        }
    }
    None
}
