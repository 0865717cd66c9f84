use crate::appraise::policy::{PcrIndex, Policy, Weight};
use crate::appraise::rules::boot_log::{Unexplained, cause};
use crate::appraise::{ReferenceValues, TrustTier};
use crate::tpm::TaggedDigest;

/// Returns the weight of a PCR that the boot event log does not explain. The events of that PCR are ignored in
/// any case.
pub(super) fn weigh(
    policy: &Policy,
    reference: &ReferenceValues,
    pcr: u8,
    value: &TaggedDigest,
) -> Unexplained {
    let section = PcrIndex::new(pcr).and_then(|index| policy.pcr.get(&index));
    let refused = (TrustTier::Contraindicated, cause(pcr).to_owned());
    let Some(section) = section else { return refused };
    if section.unlogged.contains(value) {
        let why =
            format!(", whose value pcr.{pcr}.unlogged has: firmware of this model is known to omit events");
        return (TrustTier::Affirming, why);
    }
    if !section.unlogged.is_empty() {
        let why = format!(
            ", and pcr.{pcr}.unlogged does not have its value {value}: firmware of this model is known to omit \
             events, or the log was altered"
        );
        return (TrustTier::Contraindicated, why);
    }
    let leased = reference.lease_selection.iter().any(|(_, index)| index == pcr);
    match section.unexplained {
        Weight::Refuse => refused,
        _ if leased => refused,
        Weight::Warn => (TrustTier::Warning, cause(pcr).to_owned()),
        Weight::Allow => (TrustTier::Affirming, format!(", and pcr.{pcr}.unexplained allows that")),
    }
}
