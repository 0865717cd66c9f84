use super::super::evidence::{Evidence, ImaProgress};
use crate::appraise::{Area, Reason, TrustTier};
use crate::ima::{IMA_PCR, Outcome};
use crate::tpm::TaggedDigest;

/// The rule's name, under a policy too.
pub(in crate::appraise) const LOG: &str = "ima.log";

/// Checks that PCR 10 confirms the IMA log, if the device keeps one.
pub(in crate::appraise) fn is_measured(evidence: &Evidence<'_>) -> Vec<Reason> {
    let (tier, text) = match evidence.ima {
        ImaProgress::Absent if was_extended(evidence) => {
            (TrustTier::Warning, "PCR 10 was extended, and the device sent no IMA log")
        }
        ImaProgress::Absent | ImaProgress::Followed { outcome: Outcome::Inactive, .. } => return vec![],
        ImaProgress::Behind => (TrustTier::Warning, "more of the IMA log has to come"),
        ImaProgress::Followed { outcome, .. } => match outcome {
            Outcome::Unanchored => (TrustTier::Warning, UNANCHORED),
            outcome => integrity(outcome),
        },
    };
    vec![Reason::new(LOG, Area::Runtime, tier, text)]
}

/// The reason for a log that nothing ties to the TPM.
pub(in crate::appraise) const UNANCHORED: &str =
    "the IMA log is unanchored: PCR 10 was never extended, because the kernel found its TPM too late";

/// Returns the tier and the reason for a followed log, independent of its entries.
pub(in crate::appraise) fn integrity(outcome: Outcome) -> (TrustTier, &'static str) {
    match outcome {
        Outcome::Anchored { padded: false, .. } => (TrustTier::Affirming, "the IMA log accounts for PCR 10"),
        Outcome::Anchored { padded: true, .. } => (
            TrustTier::Warning,
            "the IMA log accounts for PCR 10 by SHA-1 alone: the kernel pads its digests",
        ),
        Outcome::Unanchored => (TrustTier::Contraindicated, UNANCHORED),
        Outcome::Inactive => (TrustTier::Contraindicated, "IMA is off: nothing is known of what was run"),
        Outcome::Diverged => {
            let text = "the IMA log does not account for PCR 10: it was altered or cut, or it is a list of a hash that \
                        is not read here, such as SM3";
            (TrustTier::Contraindicated, text)
        }
    }
}

fn was_extended(evidence: &Evidence<'_>) -> bool {
    let mut quoted = evidence.quote.pcrs().iter().filter(|(_, index, _)| *index == IMA_PCR);
    quoted.any(|(bank, _, value)| *value != TaggedDigest::filled(bank, 0))
}
