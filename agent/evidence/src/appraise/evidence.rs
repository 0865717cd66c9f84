use std::sync::Arc;

use super::policy::Policy;
use super::tpm_time::{HighWater, TpmTime};
use crate::attest::{VerifiedNvPcr, VerifiedQuote};
use crate::ima::{Findings, Outcome};
use crate::tpm::{HashAlgorithm, PcrSelection, PcrValues};

/// The evidence of a device: verified attestations, and logs that appraisal will check against them.
#[derive(Debug, Clone)]
pub struct AppraisedEvidence<'a> {
    /// The verified quote and the values that it covers.
    pub quote: &'a VerifiedQuote,
    /// The epoch of the pairing for which the TPM made the quote. Trust it only if the quote's qualifying data covers
    /// it.
    pub epoch: u64,
    /// Seconds since the challenge that the quote answers, by the appraiser's clock.
    pub age_s: u64,
    /// The complete boot event log; `None` if the device has none. Untrusted until appraisal has replayed it.
    pub boot_log: Option<&'a [u8]>,
    /// systemd's complete measurement log; `None` if the device has none. Untrusted until appraisal has replayed
    /// it after the boot event log.
    pub measure_log: Option<&'a [u8]>,
    /// Whether `measure_log` has only the beginning of the device's log.
    pub measure_log_cut: bool,
    /// The NvPCRs that the TPM certified for this report.
    pub nvpcrs: NvPcrs<'a>,
    /// The IMA log's relation to PCR 10.
    pub ima: ImaProgress<'a>,
}

/// The NvPCRs of a report.
#[derive(Debug, Clone, Copy)]
pub enum NvPcrs<'a> {
    /// The control plane has not yet requested the NvPCRs that the policy names; the device's next report has them.
    NotAsked,
    /// Those of the requested NvPCRs that exist, certified for the same evidence as the quote.
    Certified(&'a [VerifiedNvPcr]),
}

/// The progress of following a device's IMA log.
#[derive(Debug, Clone, Copy)]
pub enum ImaProgress<'a> {
    /// The device sent none.
    Absent,
    /// Pieces are missing; nothing can be concluded yet.
    Behind,
    /// The log was compared with the quoted value of PCR 10.
    Followed {
        /// The result of [`crate::ima::Aggregate::advance`].
        outcome: Outcome,
        /// The findings of the policy's rules in the accepted entries; `None` if the policy has no such rules, or they
        /// were not applied yet.
        findings: Option<&'a Findings>,
    },
}

impl AppraisedEvidence<'_> {
    /// Returns the TPM's time at the quote. Store it for the next appraisal ([`raised_to`](super::HighWater::raised_to)).
    pub fn tpm_time(&self) -> TpmTime {
        TpmTime::new(self.epoch, self.quote.clock())
    }
}

/// The reference values for an appraisal.
#[derive(Debug, Clone)]
pub struct ReferenceValues {
    /// The PCRs that a lease will name.
    pub lease_selection: PcrSelection,
    /// The rules; `None` to compare only with accepted states.
    pub policy: Option<Arc<Policy>>,
    /// The accepted states. Without accepted states and without a policy, every device is refused. Under a
    /// policy they explain events that its lists lack.
    pub boot_states: Vec<BootState>,
    /// The requirements for the boot event log without a policy.
    pub boot_log: BootLogRule,
    /// The latest known time of this TPM; `None` at its first report.
    pub high_water: Option<HighWater>,
}

/// An accepted state: values of the lease's PCRs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootState {
    /// The operator's name for it.
    pub name: String,
    /// The values. It must have each PCR of the lease; see [`Self::differences`] for the one exception.
    pub pcrs: PcrValues,
}

/// The PCR of the initrd, as the kernel measures it. An initrd with a boot secret differs on each machine and
/// cannot be predicted.
pub const INITRD_PCR: u8 = 9;
/// The PCRs that determine a unified kernel image's initrd: those of the image and of its stub's additions to the initrd.
pub const INITRD_STAND_INS: [u8; 3] = [4, 12, 13];

impl BootState {
    /// Returns the PCRs that differ from this state, among those of the lease and all others that the state has. The
    /// state may lack [`INITRD_PCR`] if it has all of [`INITRD_STAND_INS`].
    pub fn differences(&self, lease: &PcrSelection, quoted: &PcrValues) -> Vec<(HashAlgorithm, u8)> {
        let may_lack = |bank, index| {
            let has = |other: &u8| self.pcrs.get(bank, *other).is_some();
            index == INITRD_PCR && self.pcrs.get(bank, index).is_none() && INITRD_STAND_INS.iter().all(has)
        };
        let leased = lease.iter().filter(|(bank, index)| !may_lack(*bank, *index));
        let more = self.pcrs.iter().map(|(bank, index, _)| (bank, index));
        let more = more.filter(|(bank, index)| !lease.contains(*bank, *index));
        leased
            .chain(more)
            .filter(|(bank, index)| {
                let value = quoted.get(*bank, *index);
                value.is_none() || self.pcrs.get(*bank, *index) != value
            })
            .collect()
    }
}

/// The requirements for the boot event log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootLogRule {
    /// It must be present and must explain the quoted PCRs.
    Require,
    /// It may be absent, as on boards without UEFI. If it is present, it must explain the quoted PCRs.
    AllowAbsent,
}
