use super::LOG_MAX_LEN;
use super::error::EventLogError;
use super::event::{Event, Events};
use super::kind::EventKind;
use crate::little_endian::LogReader;
use crate::tpm::HashAlgorithm;

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
        let first = Event::read(&mut behind_header, &Format::Sha1, 0)?;
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
        // The length of each format's shortest event, whose bytes then contain an impossible PCR and type.
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
