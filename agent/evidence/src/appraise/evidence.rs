use super::tpm_time::TpmTime;
use crate::attest::{VerifiedNvPcr, VerifiedQuote};
use crate::ima::{Findings, Outcome};

/// The evidence of a device, as far as it was verified.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// The verified quote and the values that it covers.
    pub quote: &'a VerifiedQuote,
    /// The epoch of the pairing that the quote was made for. Trust it only if the quote's qualifying data covers
    /// it.
    pub epoch: u64,
    /// Seconds since the challenge that the quote answers, by the appraiser's clock.
    pub age_s: u64,
    /// The complete boot event log; `None` if the device has none. Untrusted until appraisal has replayed it.
    pub boot_log: Option<&'a [u8]>,
    /// systemd's complete measurement log; `None` if the device has none. Untrusted until appraisal has replayed
    /// it after the boot event log.
    pub measure_log: Option<&'a [u8]>,
    /// Whether `measure_log` holds only the beginning of the device's log.
    pub measure_log_cut: bool,
    /// The NvPCRs that the TPM certified for this report.
    pub nvpcrs: NvPcrs<'a>,
    /// The IMA log's relation to PCR 10.
    pub ima: ImaProgress<'a>,
}

/// The NvPCRs of a report.
#[derive(Debug, Clone, Copy)]
pub enum NvPcrs<'a> {
    /// The device was not yet asked for the NvPCRs that the policy names; its next report has them.
    NotAsked,
    /// The NvPCRs that exist of those requested, certified for the same evidence as the quote.
    Certified(&'a [VerifiedNvPcr]),
}

/// The progress of following a device's IMA log.
#[derive(Debug, Clone, Copy)]
pub enum ImaProgress<'a> {
    /// The device sent none.
    Absent,
    /// Pieces are missing; nothing can be concluded yet.
    Behind,
    /// The log was followed to the quoted value of PCR 10.
    Followed {
        /// The result of [`crate::ima::Aggregate::advance`].
        outcome: Outcome,
        /// What the policy's rules found in the accepted entries; `None` if the policy has no such rules.
        findings: Option<&'a Findings>,
    },
}

impl Evidence<'_> {
    /// Returns the TPM's time at the quote. Store it for the next appraisal ([`raised_to`](super::HighWater::raised_to)).
    pub fn tpm_time(&self) -> TpmTime {
        TpmTime::new(self.epoch, self.quote.clock())
    }
}
