use crate::appraise::policy::Policy;
use crate::appraise::{Area, Evidence, Reason, TrustTier};

/// Checks the age of the evidence against the policy.
pub(super) fn is_young_enough(policy: &Policy, evidence: &Evidence<'_>) -> Option<Reason> {
    let max_age = policy.freshness.max_age?;
    let age = evidence.age_s;
    let (tier, text) = if age <= max_age {
        (TrustTier::Affirming, format!("the evidence came {age} s after the challenge"))
    } else {
        (
            TrustTier::Contraindicated,
            format!("the evidence came {age} s after the challenge, and {max_age} s are allowed"),
        )
    };
    Some(Reason::new("freshness.max-age", Area::Freshness, tier, text))
}
