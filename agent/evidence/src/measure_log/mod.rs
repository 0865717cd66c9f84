//! systemd's log of what user space extended into PCRs and NvPCRs (`/run/log/systemd/tpm2-measure.log`, systemd 259
//! and later): a JSON text sequence (RFC 7464), one object a record.
//!
//! The log has no protection of its own. Its records count only where they lead from the value that the firmware's
//! log gives a PCR to the quoted one. A record's text is free: root writes it. Only where the text's hash is the
//! record's digest does the TPM vouch for it; [`Record::measured`] checks that.
//!
//! systemd sets the file's sticky bit before it extends a PCR and clears it after it has appended the record. Anyone who
//! reads a file with that bit set misses a record.

mod error;
mod escape;
#[cfg(feature = "verifier")]
mod facts;
mod nvpcr;
mod record;
mod replay;

pub use error::MeasureLogError;
#[cfg(feature = "verifier")]
pub use facts::{OS_SEPARATOR_PCRS, os_separator};
pub use nvpcr::{NVPCR_INIT_PCR, NvPcrInit, NvPcrNames};
pub use record::{Record, Target};

/// The longest log that is read. A boot writes 11 KiB, and each restart of a phase 1 KiB more.
pub const MEASURE_LOG_MAX_LEN: usize = 1024 * 1024;

/// The longest record that is read. systemd cuts a text after 1024 bytes; escaped it has 8 KiB at most.
pub const RECORD_MAX_LEN: usize = 16 * 1024;

/// RFC 7464: what begins a record, and what ends it.
const RECORD_SEPARATOR: u8 = 0x1e;
const LINE_FEED: u8 = 0x0a;

/// A log whose records were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MeasureLog {
    records: Vec<Record>,
}

impl MeasureLog {
    /// Reads the log. A last record without its line feed is still being written, and is left out.
    ///
    /// # Errors
    /// When the log or a record is too long, or a record is malformed.
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

    /// The records in their order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The records of one PCR, in the order in which they were extended. The order of records of different PCRs
    /// differs from boot to boot.
    pub fn of_pcr(&self, pcr: u8) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.target == Target::Pcr(pcr))
    }

    /// The records of one NvPCR, in the order in which they were extended.
    pub fn of_nv_index(&self, index: u32) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.target == Target::NvIndex(index))
    }
}
