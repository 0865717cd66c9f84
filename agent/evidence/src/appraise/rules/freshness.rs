use super::super::evidence::Evidence;
use super::super::reason::{Area, Reason, Verdict};
use super::super::reference::ReferenceValues;
use super::reason;

/// Epoch, resets and clock never fall: they would if a hypervisor put back an older state of a virtual TPM.
pub(super) fn never_goes_back(evidence: &Evidence<'_>, reference: &ReferenceValues) -> Vec<Reason> {
    let now = evidence.high_water();
    match reference.high_water {
        Some(before) if now < before => {
            let text = format!(
                "the TPM went back in time, from epoch {}, reset {}, clock {} ms \
                 to epoch {}, reset {}, clock {} ms: \
                 an older state of it was restored, or it was cleared",
                before.epoch, before.reset_count, before.clock_ms, now.epoch, now.reset_count, now.clock_ms
            );
            vec![reason(Area::Freshness, Verdict::Contraindicated, text)]
        }
        _ => vec![reason(Area::Freshness, Verdict::Affirming, "the quote answers the latest challenge")],
    }
}
