use std::sync::Arc;

use super::policy::Policy;
use super::tpm_time::HighWater;
use crate::tpm::{PcrSelection, PcrValues};

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
    /// Must have each PCR of the lease.
    pub pcrs: PcrValues,
}

/// What is asked of the boot event log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootLogRule {
    /// It must be there and must account for the quoted PCRs.
    Require,
    /// It may be absent: boards without UEFI have none. If it is there it must account for the quoted PCRs.
    AllowAbsent,
}
