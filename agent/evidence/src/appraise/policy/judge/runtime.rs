use crate::appraise::policy::{ImaSection, Policy, Weight};
use crate::appraise::rules::runtime::{self, LOG, UNANCHORED, integrity};
use crate::appraise::{Area, Evidence, ImaProgress, Reason, TrustTier};
use crate::ima::{Findings, Offender, Outcome};

/// Checks the files that were run since boot, if the policy has rules for them.
pub(super) fn is_allowed(policy: &Policy, evidence: &Evidence<'_>) -> Vec<Reason> {
    let Some(section) = &policy.ima else { return runtime::is_measured(evidence) };
    let (tier, text) = match evidence.ima {
        ImaProgress::Behind => (TrustTier::Warning, "more of the IMA log has to come"),
        ImaProgress::Absent => (TrustTier::Contraindicated, "the device sent no IMA log"),
        ImaProgress::Followed { outcome: Outcome::Unanchored, .. } => {
            let tier = if section.require_anchored { TrustTier::Contraindicated } else { TrustTier::Warning };
            return vec![reason("ima.require-anchored", tier, UNANCHORED)];
        }
        ImaProgress::Followed { outcome, findings } => {
            let (tier, text) = integrity(outcome);
            let mut reasons = vec![reason(LOG, tier, text)];
            if matches!(outcome, Outcome::Anchored { .. }) {
                reasons.extend(entries(section, findings));
            }
            return reasons;
        }
    };
    vec![reason(LOG, tier, text)]
}

fn entries(section: &ImaSection, findings: Option<&Findings>) -> Vec<Reason> {
    let Some(findings) = findings else {
        let text = "the entries of the IMA log were not looked at under these rules yet: the next report brings them";
        return vec![reason("ima.unexplained", TrustTier::Contraindicated, text)];
    };
    let mut reasons = weigh("ima.unexplained", section.unexplained, findings.offending, &findings.offenders);
    reasons.extend(weigh("ima.violations", section.violations, findings.violations, &findings.violated));
    if findings.elsewhere > 0 {
        let text =
            format!("{} entries are for other PCRs than 10, and nothing ties them", findings.elsewhere);
        reasons.push(reason(LOG, TrustTier::Warning, text));
    }
    if reasons.is_empty() {
        let text = format!(
            "{} entries of the IMA log are allowed: {} by digest, {} by signature, {} by path",
            findings.entries, findings.by_digest, findings.by_signature, findings.excluded
        );
        reasons.push(reason("ima.unexplained", TrustTier::Affirming, text));
    }
    reasons
}

/// Returns a reason for each known entry, and one for all others.
fn weigh(rule: &'static str, weight: Weight, count: u64, known: &[Offender]) -> Vec<Reason> {
    let Some(tier) = weight.tier().filter(|_| count > 0) else { return Vec::new() };
    let mut reasons: Vec<Reason> =
        known.iter().map(|offender| reason(rule, tier, offender.to_string())).collect();
    let more = count.saturating_sub(u64::try_from(known.len()).unwrap_or(u64::MAX));
    if more > 0 {
        reasons.push(reason(rule, tier, format!("{more} more entries of the IMA log like these")));
    }
    reasons
}

fn reason(rule: &'static str, tier: TrustTier, text: impl Into<String>) -> Reason {
    Reason::new(rule, Area::Runtime, tier, text)
}
