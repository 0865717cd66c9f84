use super::MeasureLog;
use super::record::{Record, Target};
use crate::eventlog::{EventFact, Fact, OS_SEPARATOR, Stage, Tie, UserSpaceEvent};
use crate::tpm::{HashAlgorithm, TaggedDigest};

/// The PCRs into which systemd 261 and later extend the os-separator.
pub const OS_SEPARATOR_PCRS: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 14];

/// Returns the digest of an os-separator.
pub fn os_separator(bank: HashAlgorithm) -> TaggedDigest {
    bank.digest(&[OS_SEPARATOR.as_bytes()])
}

impl MeasureLog {
    /// Returns the fact of each PCR record, in order, by the digests of one bank.
    pub fn facts(&self, bank: HashAlgorithm) -> Vec<EventFact<'static>> {
        let of_pcr = |record: &Record| match record.target {
            Target::Pcr(pcr) => Some(fact(record, pcr, bank)),
            Target::NvIndex(_) => None,
        };
        self.records.iter().filter_map(of_pcr).collect()
    }
}

fn fact(record: &Record, pcr: u8, bank: HashAlgorithm) -> EventFact<'static> {
    let measured = record.measured(bank);
    let text = measured.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let (event, tie) = match (text, &measured) {
        (Some(text), _) => (UserSpaceEvent::of(pcr, text), Tie::Digest),
        // Bytes that are not text: display the log's escaped form.
        (None, Some(_)) => (UserSpaceEvent::Other(record.text.clone().unwrap_or_default()), Tie::Digest),
        (None, None) => (UserSpaceEvent::Other(record.text.clone().unwrap_or_default()), Tie::Claim),
    };
    EventFact {
        number: record.number,
        offset: record.offset,
        pcr,
        kind: None,
        digest: record.digest(bank).copied(),
        tie,
        stage: Stage::UserSpace,
        fact: Fact::UserSpace(event),
    }
}
