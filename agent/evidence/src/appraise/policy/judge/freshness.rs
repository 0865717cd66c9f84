use crate::appraise::policy::Policy;
use crate::appraise::{Area, Evidence, Reason, Verdict};

/// Checks the age of the evidence against the policy.
pub(super) fn is_young_enough(policy: &Policy, evidence: &Evidence<'_>) -> Option<Reason> {
    let max_age = policy.freshness.max_age?;
    let age = evidence.age_s;
    let (verdict, text) = if age <= max_age {
        (Verdict::Affirming, format!("the evidence came {age} s after the challenge"))
    } else {
        (
            Verdict::Contraindicated,
            format!("the evidence came {age} s after the challenge, and {max_age} s are allowed"),
        )
    };
    Some(Reason::new("freshness.max-age", Area::Freshness, verdict, text))
}
