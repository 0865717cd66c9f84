use crate::attest::VerifiedQuote;
use crate::ima::Outcome;

/// What a device has reported, as far as it was checked.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// The quote and the values that it covers.
    pub quote: &'a VerifiedQuote,
    /// The epoch of the pairing that the quote was made for. Trusted only if the quote's qualifying data
    /// covers it.
    pub epoch: u64,
    /// The boot event log. Untrusted: the appraisal replays it.
    pub boot_log: BootLog<'a>,
    /// What [`crate::ima::Aggregate::advance`] made of the IMA log; `None` when the quote does not cover PCR
    /// 10.
    pub ima: Option<Outcome>,
}

/// The boot event log in a report.
#[derive(Debug, Clone, Copy)]
pub enum BootLog<'a> {
    /// The device has none.
    Absent,
    /// The log, whole.
    Whole(&'a [u8]),
    /// The log of the same boot was appraised before, against the same PCR values.
    Appraised,
}

/// A point in the life of a TPM's attestation key. It only ever rises; the order is that of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HighWater {
    /// The value of the epoch counter.
    pub epoch: u64,
    /// Resets since the TPM was cleared.
    pub reset_count: u32,
    /// Milliseconds with power. It may fall only where `reset_count` rises.
    pub clock_ms: u64,
}

impl Evidence<'_> {
    /// Where in its life the TPM was at the quote: what to remember for the next appraisal.
    pub fn high_water(&self) -> HighWater {
        let clock = self.quote.clock();
        HighWater { epoch: self.epoch, reset_count: clock.reset_count, clock_ms: clock.clock_ms }
    }
}
