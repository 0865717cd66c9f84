use super::super::evidence::Evidence;
use super::super::reference::ReferenceValues;
use crate::appraise::{Area, Reason, TrustTier};

/// Checks that the TPM's time did not go back, which happens if a hypervisor restores an older state of a
/// virtual TPM.
pub(super) fn never_goes_back(evidence: &Evidence<'_>, reference: &ReferenceValues) -> Reason {
    let now = evidence.tpm_time();
    let (tier, text) = match reference.high_water {
        Some(before) if !before.admits(now) => {
            let text = format!(
                "the TPM went back in time, from epoch {}, reset {}, clock {} ms \
                 to epoch {}, reset {}, clock {} ms: \
                 an older state of it was restored, or it was cleared",
                before.epoch,
                before.reset_count,
                before.clock_max_ms,
                now.epoch,
                now.reset_count,
                now.clock_ms
            );
            (TrustTier::Contraindicated, text)
        }
        _ => (TrustTier::Affirming, "the quote answers the latest challenge".to_owned()),
    };
    Reason::new("freshness.tpm-time", Area::Freshness, tier, text)
}
