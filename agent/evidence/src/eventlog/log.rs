use thiserror::Error;

use super::kind::EventKind;
use super::{EVENTS_MAX, LOG_MAX_LEN};
use crate::bytes::LogReader;
use crate::tpm::{HashAlgorithm, PCR_COUNT, TaggedDigest};

/// TCG_EfiSpecIDEvent: the first event of a crypto-agile log.
const SPEC_ID_03: &[u8; 16] = b"Spec ID Event03\0";
/// The maximum number of banks of a TPM.
const ALGORITHMS_MAX: u32 = 16;
const DIGEST_MAX_LEN: u16 = 64;
const SHA1_ALONE: &[(u16, u16)] = &[(HashAlgorithm::Sha1.id(), 20)];

/// An event log with a valid header. Its events are read on demand.
#[derive(Debug, Clone)]
pub struct EventLog<'a> {
    /// All events; in a crypto-agile log those after the header.
    events: LogReader<'a>,
    format: Format,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// TCG_PCR_EVENT: one SHA-1 digest per event.
    Sha1,
    /// TCG_PCR_EVENT2: each algorithm's id and the size of its digests.
    CryptoAgile(Vec<(u16, u16)>),
}

impl<'a> EventLog<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`EventLogError::Empty`] if there is no log; another error if the log is too long, its header is
    /// malformed, or all of its hash algorithms are unknown.
    pub fn parse(log: &'a [u8]) -> Result<Self, EventLogError> {
        if log.len() > LOG_MAX_LEN {
            return Err(EventLogError::TooLong(log.len()));
        }
        if Format::Sha1.ends_at(log) {
            return Err(EventLogError::Empty);
        }
        let start = LogReader::new(log);
        let mut behind_header = start.clone();
        let first = LogEvent::read(&mut behind_header, &Format::Sha1, 0)?;
        if first.kind != EventKind::NO_ACTION || !first.data.starts_with(SPEC_ID_03) {
            return Ok(Self { events: start, format: Format::Sha1 });
        }
        let SpecId { algorithms, missing_vendor_data } =
            SpecId::read(first.data).ok_or(EventLogError::Header)?;
        // Some firmware counts its vendor data in this event's fields but not in its size, and appends it.
        behind_header.bytes(missing_vendor_data).ok_or(EventLogError::Header)?;
        if algorithms.iter().all(|(id, _)| HashAlgorithm::from_id(*id).is_none()) {
            let listed = algorithms.iter().map(|(id, _)| *id).collect();
            return Err(EventLogError::UnknownBanks { listed });
        }
        Ok(Self { events: behind_header, format: Format::CryptoAgile(algorithms) })
    }

    /// Returns the events in order. The iterator ends after the first error.
    pub fn events(&self) -> Events<'a, '_> {
        Events::new(self.events.clone(), &self.format)
    }

    /// Returns the log's hash algorithms, as far as they are known.
    pub fn algorithms(&self) -> impl Iterator<Item = HashAlgorithm> + '_ {
        let listed: &[(u16, u16)] = match &self.format {
            Format::Sha1 => SHA1_ALONE,
            Format::CryptoAgile(algorithms) => algorithms,
        };
        listed.iter().filter_map(|(id, _)| HashAlgorithm::from_id(*id))
    }
}

impl Format {
    /// Returns whether no event starts here: the log ends, or padding fills the memory that the firmware
    /// reserved for it. Linux ends the log at an event of zeros; erased flash reads as ones.
    pub(super) fn ends_at(&self, rest: &[u8]) -> bool {
        // The length of each format's shortest event. Eight bytes of ones are an impossible PCR and type.
        let no_event = match self {
            Self::Sha1 => 32,
            Self::CryptoAgile(_) => 16,
        };
        starts_with_run(rest, 0x00, no_event) || starts_with_run(rest, 0xff, 8)
    }
}

/// Returns whether the bytes start with `len` bytes of `value`, or are fewer and all equal `value`.
fn starts_with_run(bytes: &[u8], value: u8, len: usize) -> bool {
    bytes.iter().take(len).all(|byte| *byte == value)
}

/// TCG_EfiSpecIDEvent.
struct SpecId {
    /// Each algorithm's id and the size of its digests.
    algorithms: Vec<(u16, u16)>,
    /// The number of bytes of vendor data that the event's size does not include.
    missing_vendor_data: usize,
}

impl SpecId {
    /// Returns `None` if it is malformed.
    fn read(data: &[u8]) -> Option<Self> {
        let mut reader = LogReader::new(data);
        // Signature, platform class, minor and major version, errata, size of a native integer.
        reader.bytes(SPEC_ID_03.len() + 4 + 4)?;
        let count = reader.u32()?;
        if count == 0 || count > ALGORITHMS_MAX {
            return None;
        }
        let mut algorithms: Vec<(u16, u16)> = Vec::new();
        for _ in 0..count {
            let (id, size) = (reader.u16()?, reader.u16()?);
            let known = HashAlgorithm::from_id(id);
            let wrong_size = known.is_some_and(|algorithm| algorithm.digest_len() != usize::from(size));
            let repeated = algorithms.iter().any(|(listed, _)| *listed == id);
            if wrong_size || repeated || size == 0 || size > DIGEST_MAX_LEN {
                return None;
            }
            algorithms.push((id, size));
        }
        let vendor_data_len = usize::from(reader.u8()?);
        let missing_vendor_data = vendor_data_len.saturating_sub(reader.rest().len());
        Some(Self { algorithms, missing_vendor_data })
    }
}

/// TCG_EfiStartupLocalityEvent: followed by one byte.
const STARTUP_LOCALITY: &[u8; 16] = b"StartupLocality\0";

/// The value of [`LogEvent::pcr`] for an EV_NO_ACTION event without a valid PCR. Such events extend nothing;
/// firmware writes 0xFFFFFFFF.
pub const NO_PCR: u8 = u8::MAX;

/// One event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent<'a> {
    /// Its start, in bytes from the start of the log.
    pub offset: usize,
    /// The PCR that it was extended into, or [`NO_PCR`].
    pub pcr: u8,
    /// The type of the event.
    pub kind: EventKind,
    /// The digests that were extended, for each bank with a known algorithm.
    pub digests: Vec<TaggedDigest>,
    /// The data of the event. The digests cover it only for some types of events.
    pub data: &'a [u8],
}

/// The events of a log, in order.
#[derive(Debug, Clone)]
pub struct Events<'a, 'f> {
    reader: LogReader<'a>,
    format: &'f Format,
    count: usize,
    failed: bool,
}

impl<'a, 'f> Events<'a, 'f> {
    pub(super) fn new(reader: LogReader<'a>, format: &'f Format) -> Self {
        Self { reader, format, count: 0, failed: false }
    }
}

impl<'a> Iterator for Events<'a, '_> {
    type Item = Result<LogEvent<'a>, EventLogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.format.ends_at(self.reader.rest()) {
            return None;
        }
        let event = LogEvent::read(&mut self.reader, self.format, self.count);
        self.count = self.count.saturating_add(1);
        self.failed = event.is_err();
        Some(event)
    }
}

impl<'a> LogEvent<'a> {
    /// Returns the digest for one bank.
    pub fn digest(&self, bank: HashAlgorithm) -> Option<&TaggedDigest> {
        self.digests.iter().find(|digest| digest.algorithm() == bank)
    }

    /// Returns the event if it extended its PCR.
    pub(super) fn extended(&self) -> Option<&Self> {
        (self.kind != EventKind::NO_ACTION).then_some(self)
    }

    /// Returns the startup locality of the TPM, if the event states it.
    pub(super) fn startup_locality(&self) -> Option<u8> {
        match self.data.strip_prefix(STARTUP_LOCALITY)? {
            [locality] if self.kind == EventKind::NO_ACTION && self.pcr == 0 => Some(*locality),
            _ => None,
        }
    }

    pub(super) fn read(
        reader: &mut LogReader<'a>,
        format: &Format,
        number: usize,
    ) -> Result<Self, EventLogError> {
        if number >= EVENTS_MAX {
            return Err(EventLogError::TooManyEvents);
        }
        let offset = reader.offset();
        let truncated = EventLogError::Truncated { offset };
        let (Some(pcr), Some(kind)) = (reader.u32(), reader.u32()) else { return Err(truncated) };
        let pcr = match u8::try_from(pcr) {
            Ok(index) if index < PCR_COUNT => index,
            _ if kind == EventKind::NO_ACTION.0 => NO_PCR,
            _ => return Err(EventLogError::Pcr { offset, pcr }),
        };
        let digests = match format {
            Format::Sha1 => {
                let digest: [u8; 20] = reader.array().ok_or_else(|| truncated.clone())?;
                TaggedDigest::new(HashAlgorithm::Sha1, &digest).into_iter().collect()
            }
            Format::CryptoAgile(algorithms) => read_digests(reader, algorithms, offset)?,
        };
        let data = reader.sized().ok_or(truncated)?;
        Ok(Self { offset, pcr, kind: EventKind(kind), digests, data })
    }
}

/// Reads TPML_DIGEST_VALUES; skips digests of unknown algorithms by their size.
fn read_digests(
    reader: &mut LogReader<'_>,
    algorithms: &[(u16, u16)],
    offset: usize,
) -> Result<Vec<TaggedDigest>, EventLogError> {
    let truncated = || EventLogError::Truncated { offset };
    let count = reader.u32().ok_or_else(truncated)?;
    let mut digests: Vec<TaggedDigest> = Vec::new();
    for _ in 0..count {
        let id = reader.u16().ok_or_else(truncated)?;
        let misplaced = EventLogError::Digest { offset, algorithm: id };
        let Some((_, size)) = algorithms.iter().find(|(listed, _)| *listed == id) else {
            return Err(misplaced);
        };
        let bytes = reader.bytes(usize::from(*size)).ok_or_else(truncated)?;
        let Some(algorithm) = HashAlgorithm::from_id(id) else { continue };
        if digests.iter().any(|digest| digest.algorithm() == algorithm) {
            return Err(misplaced);
        }
        digests.extend(TaggedDigest::new(algorithm, bytes));
    }
    Ok(digests)
}

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

/// Returns the algorithms' names in the TCG Algorithm Registry, and the numbers of others.
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
