use super::tpm_time::TpmTime;
use crate::attest::{VerifiedNvPcr, VerifiedQuote};
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
    /// The log is longer than what is here of it.
    pub measure_log_cut: bool,
    /// The NvPCRs that the TPM certified for this report.
    pub nvpcrs: NvPcrs<'a>,
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

/// The NvPCRs of a report.
#[derive(Debug, Clone, Copy)]
pub enum NvPcrs<'a> {
    /// Nobody asked the device for those that the policy names: the next report has them.
    NotAsked,
    /// Those that the device has of what it was asked for, certified for the same evidence as the quote.
    Certified(&'a [VerifiedNvPcr]),
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

impl Evidence<'_> {
    /// Returns the TPM's time at the quote, to be remembered for the next appraisal ([`HighWater::raised_to`]).
    pub fn tpm_time(&self) -> TpmTime {
        TpmTime::new(self.epoch, self.quote.clock())
    }
}
