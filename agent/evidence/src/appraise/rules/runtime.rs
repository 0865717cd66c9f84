use super::super::evidence::{Evidence, ImaLog};
use super::super::reason::{Area, Reason, Verdict};
use crate::ima::{IMA_PCR, Outcome};
use crate::tpm::Digest;

/// The rule's name, under a policy too.
pub(in crate::appraise) const LOG: &str = "ima.log";

/// Checks that PCR 10 confirms the IMA log, if the device keeps one.
pub(in crate::appraise) fn is_measured(evidence: &Evidence<'_>) -> Vec<Reason> {
    let (verdict, text) = match evidence.ima {
        ImaLog::Absent if was_extended(evidence) => {
            (Verdict::Warning, "PCR 10 was extended, and the device sent no IMA log")
        }
        ImaLog::Absent | ImaLog::Followed { outcome: Outcome::Inactive, .. } => return vec![],
        ImaLog::Behind => (Verdict::Warning, "more of the IMA log has to come"),
        ImaLog::Followed { outcome, .. } => match outcome {
            Outcome::Unanchored => (Verdict::Warning, UNANCHORED),
            outcome => integrity(outcome),
        },
    };
    vec![Reason::new(LOG, Area::Runtime, verdict, text)]
}

/// The reason for a log that nothing ties to the TPM.
pub(in crate::appraise) const UNANCHORED: &str =
    "the IMA log is unanchored: PCR 10 was never extended, because the kernel found its TPM too late";

/// Returns the tier and the reason for a followed log, independent of its entries.
pub(in crate::appraise) fn integrity(outcome: Outcome) -> (Verdict, &'static str) {
    match outcome {
        Outcome::Anchored { padded: false, .. } => (Verdict::Affirming, "the IMA log accounts for PCR 10"),
        Outcome::Anchored { padded: true, .. } => {
            (Verdict::Warning, "the IMA log accounts for PCR 10 by SHA-1 alone: the kernel pads its digests")
        }
        Outcome::Unanchored => (Verdict::Contraindicated, UNANCHORED),
        Outcome::Inactive => (Verdict::Contraindicated, "IMA is off: nothing is known of what was run"),
        Outcome::Diverged => {
            let text = "the IMA log does not account for PCR 10: it was altered or cut, or it is a list of a hash that \
                        is not read here, such as SM3";
            (Verdict::Contraindicated, text)
        }
    }
}

fn was_extended(evidence: &Evidence<'_>) -> bool {
    let mut quoted = evidence.quote.pcrs().iter().filter(|(_, index, _)| *index == IMA_PCR);
    quoted.any(|(bank, _, value)| *value != Digest::filled(bank, 0))
}
