use crate::attest::VerifiedQuote;
use crate::ima::{Findings, Outcome};

/// What a device has reported, as far as it was checked.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// The quote and the values that it covers.
    pub quote: &'a VerifiedQuote,
    /// The epoch of the pairing that the quote was made for. Trusted only if the quote's qualifying data
    /// covers it.
    pub epoch: u64,
    /// Seconds between the challenge that the quote answers and now, by the appraiser's clock.
    pub age_s: u64,
    /// The boot event log. Untrusted: the appraisal replays it.
    pub boot_log: BootLog<'a>,
    /// systemd's log of what user space extended, whole; `None` where the device has none. Untrusted: the appraisal
    /// replays it after the boot event log.
    pub measure_log: Option<&'a [u8]>,
    /// What the IMA log has to do with PCR 10.
    pub ima: ImaLog<'a>,
}

/// The boot event log in a report.
#[derive(Debug, Clone, Copy)]
pub enum BootLog<'a> {
    /// The device has none.
    Absent,
    /// The log, whole.
    Whole(&'a [u8]),
}

/// The IMA log of a device, as far as it was followed.
#[derive(Debug, Clone, Copy)]
pub enum ImaLog<'a> {
    /// The device sent none.
    Absent,
    /// Parts of it have yet to come, and nothing can be said before.
    Behind,
    /// It was followed to the quoted value.
    Followed {
        /// What [`crate::ima::Aggregate::advance`] made of it.
        outcome: Outcome,
        /// What the policy's rules found in the entries that are accounted for; `None` without such rules.
        findings: Option<&'a Findings>,
    },
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
