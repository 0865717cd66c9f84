use super::super::evidence::Evidence;
use super::super::reason::{Area, Reason, Verdict};
use super::super::reference::ReferenceValues;
use super::reason;
use crate::ima::Outcome;

/// An IMA log, where the device keeps one, accounts for PCR 10.
pub(super) fn is_measured(evidence: &Evidence<'_>, _reference: &ReferenceValues) -> Vec<Reason> {
    let (verdict, text) = match evidence.ima {
        None | Some(Outcome::Inactive) => return vec![],
        Some(Outcome::Anchored { padded: false, .. }) => {
            (Verdict::Affirming, "the IMA log accounts for PCR 10")
        }
        Some(Outcome::Anchored { padded: true, .. }) => {
            (Verdict::Warning, "the IMA log accounts for PCR 10 by SHA-1 alone: the kernel pads its digests")
        }
        Some(Outcome::Unanchored) => (
            Verdict::Warning,
            "the IMA log is unanchored: PCR 10 was never extended, because the kernel found its TPM too late",
        ),
        Some(Outcome::Diverged) => {
            (Verdict::Contraindicated, "the IMA log does not account for PCR 10: it was altered or cut")
        }
    };
    vec![reason(Area::Runtime, verdict, text)]
}
