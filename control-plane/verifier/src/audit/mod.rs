//! Follows the record chain that a device keeps and sends in its reports.
//!
//! The records are the device's claim. The quote of each report covers the head of the chain, which must follow from the heads
//! in earlier reports: a device cannot change records that it has reported. A finding never ends a lease. Each verdict names
//! it, and one audit record contains it.

mod shown;

use pawl_proto::message::{Area, Audit, Finding, TrustTier};
use pawl_proto::record::Link;
use pawl_proto::{Digest, PairingId};

use crate::record::{ChainHead, Fact, RecordFinding};
use crate::verdict::VerdictDraft;
use shown::ShownChain;

/// The position in a device's chain up to which the control plane has its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceChain {
    /// The number of the chain among those of the device, from 1.
    pub chain: u32,
    /// The sequence of the last received record; 0 before the first.
    pub sequence: u64,
    /// Its digest.
    pub digest: Digest,
    /// The finding that was recorded last. A report without a finding clears it.
    pub noted: Option<String>,
}

impl DeviceChain {
    const EMPTY: Self = Self { chain: 1, sequence: 0, digest: Link::START, noted: None };

    fn head(&self) -> ChainHead {
        ChainHead { chain: self.chain, sequence: self.sequence, digest: self.digest.to_string() }
    }
}

/// A record of a device as the control plane received it, covered by a quote of the device's TPM.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceRecordRow {
    /// The number of its chain.
    pub chain: u32,
    /// Its position in the chain.
    pub sequence: u64,
    /// The pairing whose report contained it.
    pub pairing: PairingId,
    /// When it was received, Unix seconds.
    pub received_at: u64,
    /// The record.
    pub link: Link,
}

/// The kind of the report that contains the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The proof of a pairing, in a session that the device opened with this finding. The device may start a new chain.
    Pairing(Finding),
    /// Any later report.
    Report,
}

/// The report that contains the records.
#[derive(Clone, Copy, Debug)]
pub struct RecordsReport {
    /// Its pairing.
    pub pairing: PairingId,
    /// Its kind.
    pub occasion: Occasion,
    /// Unix time, seconds.
    pub now: u64,
}

/// The changes to the stored records of a device.
#[derive(Debug, Default)]
pub struct ChainUpdate {
    /// The new position; `None` if it is unchanged.
    pub chain: Option<DeviceChain>,
    /// The new records.
    pub new: Vec<DeviceRecordRow>,
    /// The record of a finding.
    pub fact: Option<Fact>,
    /// The last stored record of the chain in the report; `None` if that chain is not the stored one.
    pub head: Option<ChainHead>,
    /// The reason for the verdict.
    pub reason: Option<String>,
}

impl ChainUpdate {
    /// Adds the finding to a verdict with an attestation result, as a warning at least.
    pub fn weigh(&self, draft: &mut VerdictDraft) {
        if let Some(reason) = &self.reason {
            draft.result = draft.result.map(|result| result.max(TrustTier::Warning));
            // The records come from the device's software, so the finding concerns its runtime.
            let runtime = draft.areas.entry(Area::Runtime).or_insert(TrustTier::Warning);
            *runtime = TrustTier::Warning.max(*runtime);
            draft.reasons.push(reason.clone());
        }
    }
}

/// Compares the records in a report, whose quote contains a fresh nonce, with the stored ones. `known` is the stored position;
/// `kept` returns the digest of a stored record by chain and sequence.
///
/// # Errors
/// Those of `kept`.
pub fn follow_records<E>(
    known: Option<&DeviceChain>,
    audit: Option<&Audit>,
    report: RecordsReport,
    kept: impl Fn(u32, u64) -> Result<Option<Digest>, E>,
) -> Result<ChainUpdate, E> {
    let shown = match audit.map(ShownChain::parse) {
        Some(Ok(shown)) => shown,
        Some(Err(problem)) => {
            return Ok(report.reject(known, RecordFinding::Malformed, None, problem.to_string()));
        }
        None if known.is_none() => return Ok(ChainUpdate::default()),
        None => {
            let detail = "the device sends none, although it did before: it cannot store them, or hides them";
            return Ok(report.reject(known, RecordFinding::Absent, None, detail.to_owned()));
        }
    };
    let Some(known) = known else { return report.accept(&DeviceChain::EMPTY, shown, None, &kept) };
    let compared = compare(known.sequence, &shown, |sequence| {
        if sequence == known.sequence {
            return Ok(Some(known.digest));
        }
        kept(known.chain, sequence)
    })?;
    match compared {
        Compared::Continues => report.accept(known, shown, None, &kept),
        Compared::Gap => {
            let (first, last) = (known.sequence.saturating_add(1), shown.first.saturating_sub(1));
            let detail = format!("records {first} to {last} were dropped before the device sent them");
            report.accept(known, shown, Some(detail), &kept)
        }
        Compared::Fork(sequence) => {
            let detail = format!("record {sequence} differs from the stored one: the records were rewritten");
            report.differs(known, shown, RecordFinding::Fork, detail, &kept)
        }
        Compared::Regress => {
            let (newest, sequence) = (shown.newest, known.sequence);
            let detail = format!(
                "the device reports {newest} records, but {sequence} are stored: the end was cut off"
            );
            report.differs(known, shown, RecordFinding::Regress, detail, &kept)
        }
    }
}

impl RecordsReport {
    /// Adds the new records. `gap` is the finding if records before them are missing.
    fn accept<E>(
        &self,
        known: &DeviceChain,
        shown: ShownChain,
        gap: Option<String>,
        kept: &impl Fn(u32, u64) -> Result<Option<Digest>, E>,
    ) -> Result<ChainUpdate, E> {
        let mut reached = DeviceChain { noted: None, ..known.clone() };
        if shown.last > known.sequence {
            (reached.sequence, reached.digest) = (shown.last, shown.head());
        }
        let new = shown.links.into_iter().filter(|(sequence, _)| *sequence > known.sequence);
        let new: Vec<DeviceRecordRow> = new
            .map(|(sequence, link)| DeviceRecordRow {
                chain: reached.chain,
                sequence,
                pairing: self.pairing,
                received_at: self.now,
                link,
            })
            .collect();
        let is_new = new.iter().any(|row| row.sequence == reached.sequence);
        let is_kept = is_new || kept(reached.chain, reached.sequence)?.is_some();
        let fact = gap
            .clone()
            .map(|detail| self.fact(RecordFinding::Gap, Some(known), Some(reached.head()), detail));
        Ok(ChainUpdate {
            head: is_kept.then(|| reached.head()),
            chain: Some(reached),
            new,
            fact,
            reason: gap.map(|detail| format!("records: {detail}")),
        })
    }

    /// Handles a chain that differs from the stored one. In a pairing it replaces the stored chain; in any other report it is
    /// a finding.
    fn differs<E>(
        &self,
        known: &DeviceChain,
        shown: ShownChain,
        finding: RecordFinding,
        detail: String,
        kept: &impl Fn(u32, u64) -> Result<Option<Digest>, E>,
    ) -> Result<ChainUpdate, E> {
        let Occasion::Pairing(found) = self.occasion else {
            let shown =
                ChainHead { chain: known.chain, sequence: shown.last, digest: shown.head().to_string() };
            return Ok(self.reject(Some(known), finding, Some(shown), detail));
        };
        let before = shown.first.saturating_sub(1);
        let chain = DeviceChain {
            chain: known.chain.saturating_add(1),
            sequence: before,
            digest: shown.previous,
            noted: None,
        };
        let mut update = self.accept(&chain, shown, None, kept)?;
        let finding = RecordFinding::began_anew(found);
        let mut said = format!("another chain began with this pairing: {detail}");
        if finding == RecordFinding::BeganAnewUnchanged {
            said.push_str("; the device reports that nothing changed");
            update.reason = Some(format!("records: {said}"));
        }
        update.fact = Some(self.fact(finding, Some(known), update.head.clone(), said));
        Ok(update)
    }

    /// Leaves the stored records unchanged. Each verdict names the finding; one audit record contains it.
    fn reject(
        &self,
        known: Option<&DeviceChain>,
        finding: RecordFinding,
        shown: Option<ChainHead>,
        detail: String,
    ) -> ChainUpdate {
        let reason = Some(format!("records: {detail}"));
        let noted = format!("{finding:?}");
        let chain = known.cloned().unwrap_or(DeviceChain::EMPTY);
        if chain.noted.as_ref() == Some(&noted) {
            return ChainUpdate { reason, ..ChainUpdate::default() };
        }
        let fact = Some(self.fact(finding, known, shown, detail));
        let chain = Some(DeviceChain { noted: Some(noted), ..chain });
        ChainUpdate { chain, fact, reason, ..ChainUpdate::default() }
    }

    fn fact(
        &self,
        finding: RecordFinding,
        known: Option<&DeviceChain>,
        shown: Option<ChainHead>,
        detail: String,
    ) -> Fact {
        let (pairing, known) = (self.pairing.to_string(), known.map(DeviceChain::head));
        Fact::DeviceRecords { finding, pairing, known, shown, detail }
    }
}

/// How the chain in a report relates to the stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    /// It is the same chain, as long or longer.
    Continues,
    /// It may be the same chain, but records between the stored ones and these are lost.
    Gap,
    /// The record with this sequence differs from the stored one.
    Fork(u64),
    /// It is shorter.
    Regress,
}

/// Compares the chain in a report with the stored one, which ends at `known`. `digest_at` returns the digest of a record that
/// is still stored.
fn compare<E>(
    known: u64,
    shown: &ShownChain,
    digest_at: impl Fn(u64) -> Result<Option<Digest>, E>,
) -> Result<Compared, E> {
    let before = (shown.first.saturating_sub(1), shown.previous);
    let links = shown.links.iter().map(|(sequence, link)| (*sequence, link.digest));
    for (sequence, digest) in std::iter::once(before).chain(links) {
        if (1..=known).contains(&sequence) && digest_at(sequence)?.is_some_and(|kept| kept != digest) {
            return Ok(Compared::Fork(sequence));
        }
    }
    Ok(if shown.newest < known {
        Compared::Regress
    } else if shown.first > known + 1 {
        Compared::Gap
    } else {
        Compared::Continues
    })
}

#[cfg(test)]
mod tests;
