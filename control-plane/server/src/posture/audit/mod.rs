//! A device's own records, as they come with its reports.
//!
//! They are the device's word and stay so. What is watched here is that it does not take its word
//! back: each report says, under the quote, where the chain stands, and that must follow from what
//! the reports before it said. A finding never takes a lease; it is told, and recorded once.

mod compare;
mod shown;

use pawl_proto::message::{Appraisal, Area, Audit, Finding};
use pawl_proto::record::Link;
use pawl_proto::{DeviceId, PairingId};

use self::compare::Compared;
use self::shown::Shown;
use crate::record::{ChainHead, Fact, RecordFinding};
use crate::store::{DeviceChain, DeviceRecordRow, StoreError, Tx};
use crate::verdict::Draft;

/// In what a report comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// The pairing's own proof, of a session in which the device found this: another chain may
    /// begin.
    Pairing(Finding),
    /// Any later report.
    Report,
}

/// What a report did to what is known of a device's records.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The last record that is kept of the chain that the device shows; none where it shows another
    /// one than is known.
    pub(crate) head: Option<ChainHead>,
    /// What a verdict has to say of it.
    reason: Option<String>,
}

impl Seen {
    /// Puts what was found into a verdict that judges: it is a warning at least.
    pub(crate) fn tell(&self, draft: &mut Draft) {
        if let Some(reason) = &self.reason {
            draft.result = draft.result.map(|result| result.max(Appraisal::Warning));
            // The device's own software keeps them.
            let runtime = draft.areas.entry(Area::Runtime).or_insert(Appraisal::Warning);
            *runtime = Appraisal::Warning.max(*runtime);
            draft.reasons.push(reason.clone());
        }
    }
}

/// Takes in the records of a report that the TPM quoted on a fresh nonce.
///
/// # Errors
/// [`StoreError`]
pub(crate) fn take(
    tx: &Tx<'_>,
    device: DeviceId,
    pairing: PairingId,
    audit: Option<&Audit>,
    occasion: Occasion,
    now: u64,
) -> Result<Seen, StoreError> {
    let known = tx.device_chain(device)?;
    let report = Report { tx, device, pairing, occasion, now };
    let shown = match audit.map(Shown::parse) {
        Some(Ok(shown)) => shown,
        Some(Err(problem)) => {
            return report.reject(known, RecordFinding::Malformed, None, problem.to_string());
        }
        None if known.is_none() => return Ok(Seen::default()),
        None => {
            let detail = "the device sends none, though it has before: it cannot keep them, or hides them";
            return report.reject(known, RecordFinding::Absent, None, detail.to_owned());
        }
    };
    let Some(known) = known else {
        let chain = DeviceChain { chain: 1, sequence: 0, digest: Link::START, noted: None };
        return report.accept(chain, shown, None);
    };
    let compared = compare::compare(known.sequence, &shown, |sequence| {
        if sequence == known.sequence {
            return Ok(Some(known.digest));
        }
        tx.device_record_digest(device, known.chain, sequence)
    })?;
    match compared {
        Compared::Continues => report.accept(known, shown, None),
        Compared::Gap => {
            let detail = format!(
                "records {} to {} were dropped before they came",
                known.sequence + 1,
                shown.first - 1
            );
            report.accept(known, shown, Some(detail))
        }
        Compared::Fork(sequence) => {
            let detail =
                format!("record {sequence} is not the one that is known: the records were written anew");
            report.differs(known, shown, RecordFinding::Fork, detail)
        }
        Compared::Regress => {
            let (newest, sequence) = (shown.newest, known.sequence);
            let detail =
                format!("the device shows {newest} records where {sequence} are known: the end was cut off");
            report.differs(known, shown, RecordFinding::Regress, detail)
        }
    }
}

/// The report in which records come.
struct Report<'a> {
    tx: &'a Tx<'a>,
    device: DeviceId,
    pairing: PairingId,
    occasion: Occasion,
    now: u64,
}

impl Report<'_> {
    /// Takes over what is new. `gap` says what is missing before it.
    fn accept(&self, known: DeviceChain, shown: Shown, gap: Option<String>) -> Result<Seen, StoreError> {
        let mut reached = DeviceChain { noted: None, ..known.clone() };
        if shown.last > known.sequence {
            (reached.sequence, reached.digest) = (shown.last, shown.head());
        }
        self.tx.set_device_chain(self.device, &reached)?;
        let new = shown.links.into_iter().filter(|(sequence, _)| *sequence > known.sequence);
        let rows: Vec<DeviceRecordRow> = new
            .map(|(sequence, link)| DeviceRecordRow {
                chain: reached.chain,
                sequence,
                pairing: self.pairing,
                received_at: self.now,
                link,
            })
            .collect();
        self.tx.add_device_records(self.device, &rows)?;
        let reason = match gap {
            Some(detail) => {
                self.note(RecordFinding::Gap, Some(&known), Some(head_of(&reached)), detail.clone())?;
                Some(format!("records: {detail}"))
            }
            None => None,
        };
        let kept = self.tx.device_record_digest(self.device, reached.chain, reached.sequence)?.is_some();
        Ok(Seen { head: kept.then(|| head_of(&reached)), reason })
    }

    /// Another chain than the known one: with a pairing it is taken over, else it is a finding.
    fn differs(
        &self,
        known: DeviceChain,
        shown: Shown,
        finding: RecordFinding,
        detail: String,
    ) -> Result<Seen, StoreError> {
        let Occasion::Pairing(found) = self.occasion else {
            let shown =
                ChainHead { chain: known.chain, sequence: shown.last, digest: shown.head().to_string() };
            return self.reject(Some(known), finding, Some(shown), detail);
        };
        let before = shown.first.saturating_sub(1);
        let chain = DeviceChain {
            chain: known.chain.saturating_add(1),
            sequence: before,
            digest: shown.previous,
            noted: None,
        };
        let mut seen = self.accept(chain, shown, None)?;
        let finding = RecordFinding::began_anew(found);
        let mut said = format!("another chain began with this pairing: {detail}");
        if finding == RecordFinding::BeganAnewUnchanged {
            said.push_str("; the device says that nothing about it had changed");
            seen.reason = Some(format!("records: {said}"));
        }
        self.note(finding, Some(&known), seen.head.clone(), said)?;
        Ok(seen)
    }

    /// Leaves what is known as it is, and says so: in each verdict, and in one record.
    fn reject(
        &self,
        known: Option<DeviceChain>,
        finding: RecordFinding,
        shown: Option<ChainHead>,
        detail: String,
    ) -> Result<Seen, StoreError> {
        let reason = Some(format!("records: {detail}"));
        let noted = format!("{finding:?}");
        let mut chain =
            known.clone().unwrap_or(DeviceChain { chain: 1, sequence: 0, digest: Link::START, noted: None });
        if chain.noted.as_ref() != Some(&noted) {
            self.note(finding, known.as_ref(), shown, detail)?;
            chain.noted = Some(noted);
            self.tx.set_device_chain(self.device, &chain)?;
        }
        Ok(Seen { head: None, reason })
    }

    fn note(
        &self,
        finding: RecordFinding,
        known: Option<&DeviceChain>,
        shown: Option<ChainHead>,
        detail: String,
    ) -> Result<(), StoreError> {
        tracing::warn!(device = %self.device, ?finding, detail, "a device's records");
        let (pairing, known) = (self.pairing.to_string(), known.map(head_of));
        self.tx.record(self.device, self.now, Fact::DeviceRecords { finding, pairing, known, shown, detail })
    }
}

fn head_of(chain: &DeviceChain) -> ChainHead {
    ChainHead { chain: chain.chain, sequence: chain.sequence, digest: chain.digest.to_string() }
}

#[cfg(test)]
mod tests;
