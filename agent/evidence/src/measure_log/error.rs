use thiserror::Error;

use super::{MEASURE_LOG_MAX_LEN, RECORD_MAX_LEN};

/// Why systemd's measurement log cannot be read. Offsets count bytes from its start.
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
        /// Where the record begins.
        offset: usize,
    },
    /// A record does not begin with the byte 0x1e, or does not end with a line feed.
    #[error("systemd's measurement log is no JSON text sequence (RFC 7464) at offset {offset}")]
    Framing {
        /// Where the record begins.
        offset: usize,
    },
    /// A record is no JSON object, or a field that counts is missing or malformed.
    #[error("the record at offset {offset} of systemd's measurement log is malformed: {problem}")]
    Record {
        /// Where the record begins.
        offset: usize,
        /// What is wrong.
        problem: &'static str,
    },
}
