use crate::tpm::{Comparison, Name, PcrSelection, PolicyDigest};

/// Offsets in TPMS_TIME_INFO.
const OFFSET_CLOCK: u16 = 8;
const OFFSET_RESET_COUNT: u16 = 16;

/// Under what conditions the keys of a pairing may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseTerms {
    /// The PCRs that were appraised.
    pub selection: PcrSelection,
    /// SHA-256 over their values: [`crate::tpm::PcrValues::policy_digest`].
    pub pcr_digest: [u8; 32],
    /// The epoch counter, written.
    pub counter_name: Name,
    /// The value that the counter must have.
    pub epoch: u64,
    /// The highest `resetCount` at which the lease holds: the present one and so many reboots more.
    pub reset_count_max: u32,
    /// The TPM clock, in milliseconds, at which the lease has ended.
    pub clock_before: u64,
}

impl LeaseTerms {
    /// The policy digest of PolicyPCR, PolicyNV, PolicyCounterTimer(resetCount) and
    /// PolicyCounterTimer(clock), in this order.
    pub fn approved_policy(&self) -> [u8; 32] {
        PolicyDigest::new()
            .pcr(&self.selection, &self.pcr_digest)
            .nv(&self.counter_name, &self.epoch.to_be_bytes(), 0, Comparison::Equal)
            .counter_timer(&self.reset_count_max.to_be_bytes(), OFFSET_RESET_COUNT, Comparison::AtMost)
            .counter_timer(&self.clock_before.to_be_bytes(), OFFSET_CLOCK, Comparison::LessThan)
            .finish()
    }
}

/// The digest that the lease key signs: `aHash` of `TPM2_PolicyAuthorize`.
pub fn to_be_signed(approved_policy: &[u8; 32], policy_ref: &[u8; 32]) -> [u8; 32] {
    crate::tpm::sha256(&[approved_policy, policy_ref])
}

/// The `authPolicy` of the device key and of the vault key: any lease by this key for this pairing.
pub fn key_policy(lease_key: &Name, policy_ref: &[u8; 32]) -> [u8; 32] {
    PolicyDigest::authorize(lease_key, policy_ref).finish()
}

/// The `authPolicy` of the link key: the epoch is current, whatever the device runs, so that a device that
/// drifted can still say so.
pub fn link_policy(counter: &Name, epoch: u64) -> [u8; 32] {
    PolicyDigest::new().nv(counter, &epoch.to_be_bytes(), 0, Comparison::Equal).finish()
}
