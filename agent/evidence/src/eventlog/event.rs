use super::EVENTS_MAX;
use super::error::EventLogError;
use super::header::Format;
use super::kind::EventKind;
use crate::little_endian::LogReader;
use crate::tpm::{HashAlgorithm, PCR_COUNT, TaggedDigest};

/// TCG_EfiStartupLocalityEvent: followed by one byte.
const STARTUP_LOCALITY: &[u8; 16] = b"StartupLocality\0";

/// The value of [`Event::pcr`] for an EV_NO_ACTION event without a valid PCR. Such events extend nothing;
/// firmware writes 0xFFFFFFFF.
pub const NO_PCR: u8 = u8::MAX;

/// One event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its start, in bytes from the start of the log.
    pub offset: usize,
    /// The PCR that it was extended into, or [`NO_PCR`].
    pub pcr: u8,
    /// The type of the event.
    pub kind: EventKind,
    /// The digests that were extended, for each bank with a known algorithm.
    pub digests: Vec<TaggedDigest>,
    /// The data that the log says was measured. Only some types of events tie it to the digests.
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
    type Item = Result<Event<'a>, EventLogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.format.ends_at(self.reader.rest()) {
            return None;
        }
        let event = Event::read(&mut self.reader, self.format, self.count);
        self.count = self.count.saturating_add(1);
        self.failed = event.is_err();
        Some(event)
    }
}

impl<'a> Event<'a> {
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
