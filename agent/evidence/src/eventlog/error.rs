use thiserror::Error;

use super::{EVENTS_MAX, LOG_MAX_LEN};
use crate::tpm::HashAlgorithm;

/// Why an event log cannot be read or replayed. Offsets are in bytes from the start of the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EventLogError {
    /// The log is empty: the firmware has no TPM support, or gave no log to the kernel.
    #[error("the boot event log is empty: firmware or kernel provides none")]
    Empty,
    /// The log is longer than [`LOG_MAX_LEN`].
    #[error("the boot event log has {0} bytes, more than the {LOG_MAX_LEN} that are read")]
    TooLong(usize),
    /// The log has more than [`EVENTS_MAX`] events.
    #[error("the boot event log has more than {EVENTS_MAX} events")]
    TooManyEvents,
    /// The log ends inside an event.
    #[error("the boot event log is cut off inside the event at offset {offset}")]
    Truncated {
        /// The start of that event.
        offset: usize,
    },
    /// All of the log's hash algorithms are unknown.
    #[error(
        "the boot event log has no digests but {}, which cannot be replayed: enable the sha256 or sha384 bank in the \
         firmware's TPM settings",
        bank_names(.listed)
    )]
    UnknownBanks {
        /// The TPM_ALG_IDs that the header lists.
        listed: Vec<u16>,
    },
    /// The header does not list each algorithm with its digest size exactly once.
    #[error("the boot event log's header does not list its hash algorithms properly")]
    Header,
    /// An event has a digest of an algorithm that the header does not list, or two of one algorithm.
    #[error(
        "the event at offset {offset} has a digest of algorithm {algorithm:#06x}, which does not belong there"
    )]
    Digest {
        /// The start of the event.
        offset: usize,
        /// The algorithm's TPM_ALG_ID.
        algorithm: u16,
    },
    /// An event is for a PCR that does not exist.
    #[error("the event at offset {offset} is for PCR {pcr}, which does not exist")]
    Pcr {
        /// The start of the event.
        offset: usize,
        /// The number of the PCR.
        pcr: u32,
    },
    /// The startup locality is stated after PCR 0 was extended, or twice with different values.
    #[error(
        "the event at offset {offset} states the startup locality too late, or contradicts an earlier one"
    )]
    StartupLocality {
        /// The start of the event.
        offset: usize,
    },
}

/// Returns the names of the TCG Algorithm Registry, or numbers.
fn bank_names(ids: &[u16]) -> String {
    let name = |id: &u16| match (HashAlgorithm::from_id(*id), id) {
        (Some(known), _) => known.as_str().to_owned(),
        (None, 0x0012) => "sm3_256".to_owned(),
        (None, 0x0027) => "sha3_256".to_owned(),
        (None, 0x0028) => "sha3_384".to_owned(),
        (None, 0x0029) => "sha3_512".to_owned(),
        (None, other) => format!("algorithm {other:#06x}"),
    };
    ids.iter().map(name).collect::<Vec<_>>().join(", ")
}
