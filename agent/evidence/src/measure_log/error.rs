use thiserror::Error;

use super::{MEASURE_LOG_MAX_LEN, RECORD_MAX_LEN};

/// Why systemd's measurement log cannot be read. Offsets are in bytes from its start.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MeasureLogError {
    /// The log is longer than [`MEASURE_LOG_MAX_LEN`].
    #[error("systemd's measurement log has {0} bytes, more than the {MEASURE_LOG_MAX_LEN} that are read")]
    TooLong(usize),
    /// A record is longer than [`RECORD_MAX_LEN`].
    #[error(
        "the record at offset {offset} of systemd's measurement log has more than the {RECORD_MAX_LEN} bytes that are read"
    )]
    RecordTooLong {
        /// The start of the record.
        offset: usize,
    },
    /// A record does not begin with the byte 0x1e, or does not end with a line feed.
    #[error("systemd's measurement log is not a JSON text sequence (RFC 7464) at offset {offset}")]
    Framing {
        /// The start of the record.
        offset: usize,
    },
    /// A record is not a JSON object, or a required field is missing or malformed.
    #[error("the record at offset {offset} of systemd's measurement log is malformed: {problem}")]
    Record {
        /// The start of the record.
        offset: usize,
        /// What is wrong.
        problem: &'static str,
    },
}
