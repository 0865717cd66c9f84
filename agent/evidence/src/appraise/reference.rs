use std::sync::Arc;

use super::policy::Policy;
use super::tpm_time::HighWater;
use crate::tpm::{HashAlgorithm, PcrSelection, PcrValues};

/// What evidence is compared with.
#[derive(Debug, Clone)]
pub struct ReferenceValues {
    /// The PCRs that a lease will name.
    pub lease_selection: PcrSelection,
    /// The rules; `None` where exact states alone are compared.
    pub policy: Option<Arc<Policy>>,
    /// The states in which a device of this kind may be. Without any and without a policy, nothing is accepted.
    /// Under a policy they explain what its lists do not know.
    pub boot_states: Vec<BootState>,
    /// What is asked of the boot event log where there is no policy to say so.
    pub boot_log: BootLogRule,
    /// The latest point at which this TPM was seen; `None` at its first report.
    pub high_water: Option<HighWater>,
}

/// Values of the lease's PCRs that are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootState {
    /// What an operator calls it.
    pub name: String,
    /// Must have each PCR of the lease; see [`Self::differences`] for the one exception.
    pub pcrs: PcrValues,
}

/// The initrd, as the kernel measures it. With a boot secret in it, it differs on each machine and cannot be told ahead.
pub const INITRD_PCR: u8 = 9;
/// What a unified kernel image measures in its place: the image, and what its stub adds to the initrd in it.
pub const INITRD_STAND_INS: [u8; 3] = [4, 12, 13];

impl BootState {
    /// The PCRs that are not as in this state: those of the lease, and what else the state has. A state without
    /// [`INITRD_PCR`] is complete if it has all of [`INITRD_STAND_INS`].
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

/// What is asked of the boot event log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootLogRule {
    /// It must be there and must account for the quoted PCRs.
    Require,
    /// It may be absent: boards without UEFI have none. If it is there it must account for the quoted PCRs.
    AllowAbsent,
}
