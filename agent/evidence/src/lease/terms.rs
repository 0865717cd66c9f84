use crate::tpm::{Comparison, Name, PcrSelection, PolicyDigest};

/// Offsets in TPMS_TIME_INFO.
const OFFSET_CLOCK: u16 = 8;
const OFFSET_RESET_COUNT: u16 = 16;

/// The conditions under which the keys of a pairing work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseTerms {
    /// The appraised PCRs.
    pub selection: PcrSelection,
    /// SHA-256 over their values: [`crate::tpm::PcrValues::policy_digest`].
    pub pcr_digest: [u8; 32],
    /// The epoch counter's name, with the written attribute.
    pub counter_name: Name,
    /// The required value of the counter.
    pub epoch: u64,
    /// The highest allowed `resetCount`: the present one plus the allowed reboots.
    pub reset_count_max: u32,
    /// The TPM clock, in milliseconds, at which the lease ends.
    pub clock_before: u64,
}

impl LeaseTerms {
    /// Returns the policy digest of PolicyPCR, PolicyNV, PolicyCounterTimer(resetCount) and
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

/// Returns the digest that the lease key signs: `aHash` of `TPM2_PolicyAuthorize`.
pub fn to_be_signed(approved_policy: &[u8; 32], policy_ref: &[u8; 32]) -> [u8; 32] {
    crate::tpm::sha256(&[approved_policy, policy_ref])
}

/// Returns the `authPolicy` of the device key and the vault key: any lease signed with this key for this
/// pairing.
pub fn key_policy(lease_key: &Name, policy_ref: &[u8; 32]) -> [u8; 32] {
    PolicyDigest::authorize(lease_key, policy_ref).finish()
}

/// Returns the `authPolicy` of the link key: the epoch is current. It ignores PCRs, so that a device that
/// drifted can still report.
pub fn link_policy(counter: &Name, epoch: u64) -> [u8; 32] {
    PolicyDigest::new().nv(counter, &epoch.to_be_bytes(), 0, Comparison::Equal).finish()
}
