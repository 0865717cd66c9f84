use std::sync::Arc;

use super::policy::Policy;
use super::tpm_time::HighWater;
use crate::tpm::{HashAlgorithm, PcrSelection, PcrValues};

/// The reference values for an appraisal.
#[derive(Debug, Clone)]
pub struct ReferenceValues {
    /// The PCRs that a lease will name.
    pub lease_selection: PcrSelection,
    /// The rules; `None` if only accepted states are compared.
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
/// The PCRs that determine a unified kernel image's initrd: the image, and what its stub adds to the initrd.
pub const INITRD_STAND_INS: [u8; 3] = [4, 12, 13];

impl BootState {
    /// Returns the PCRs that differ from this state: those of the lease, and all others that the state has. A
    /// state without [`INITRD_PCR`] is complete if it has all of [`INITRD_STAND_INS`].
    pub fn differences(&self, lease: &PcrSelection, quoted: &PcrValues) -> Vec<(HashAlgorithm, u8)> {
        let is_missing_well = |bank, index| {
            let stands_in = |other: &u8| self.pcrs.get(bank, *other).is_some();
            index == INITRD_PCR
                && self.pcrs.get(bank, index).is_none()
                && INITRD_STAND_INS.iter().all(stands_in)
        };
        let leased = lease.iter().filter(|(bank, index)| !is_missing_well(*bank, *index));
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
