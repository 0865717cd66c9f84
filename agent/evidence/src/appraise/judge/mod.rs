//! The rules of a policy. Rules for single events return whether they explain the event ([`explain`]); the others
//! return reasons.

mod events;
mod explain;
mod firmware;
mod nvpcr;

use pawl_proto::message::{Area, TrustTier};

use super::boot::Boot;
use super::evidence::{AppraisedEvidence, BootLogRule, ImaProgress, ReferenceValues};
use super::policy::{ImaSection, Policy, Weight};
use super::reason::Reason;
use super::rules::{IMA_LOG, UNANCHORED, ima_log_integrity};
use super::{boot_log, coverage, rules};
use crate::ima::{Findings, Offender, Outcome};

pub(super) use explain::started_unified_image;
pub(super) use firmware::{entry_digest, machine_tables};
pub(super) use nvpcr::made_nvpcrs;

/// Appraises evidence by the rules of a policy.
pub(in crate::appraise) fn judge(
    policy: &Policy,
    evidence: &AppraisedEvidence<'_>,
    reference: &ReferenceValues,
) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = evidence_is_young_enough(policy, evidence).into_iter().collect();
    reasons.extend(ima_log_is_allowed(policy, evidence));
    let log_rule = if policy.boot_log.required { BootLogRule::Require } else { BootLogRule::AllowAbsent };
    let of_log = boot_log::accounts_for_pcrs(evidence, log_rule, |pcr, value| {
        events::weigh_unlogged(policy, reference, pcr, value)
    });
    // Ignore the contents of a log that does not replay.
    let is_refused = of_log.iter().any(|reason| reason.tier == TrustTier::Contraindicated);
    reasons.extend(of_log);
    if !is_refused {
        reasons.extend(judge_boot(policy, evidence, reference));
    }
    reasons
}

fn judge_boot(policy: &Policy, evidence: &AppraisedEvidence<'_>, reference: &ReferenceValues) -> Vec<Reason> {
    let quoted = evidence.quote.pcrs();
    let logged = evidence.boot_log.and_then(|log| Boot::read(log, evidence.measure_log, quoted).ok());
    let (boot, explained) = match logged {
        Some(boot) => {
            let explained = events::are_explained(policy, &boot, evidence, reference);
            (boot, explained)
        }
        None => {
            let mut explained = rules::boot_state_is_accepted(evidence, reference);
            explained.extend(coverage::without_log(evidence, reference));
            (Boot::unlogged(quoted), explained)
        }
    };
    let nvpcrs = nvpcr::are_allowed(policy, &boot, evidence);
    // Requirements come before events, because the operator should fix them first.
    let required = [firmware::secure_boot_is_on(policy, &boot), firmware::version_is_allowed(policy, &boot)];
    required.into_iter().flatten().chain(explained).chain(nvpcrs).collect()
}

/// Checks the age of the evidence against the policy.
pub(super) fn evidence_is_young_enough(policy: &Policy, evidence: &AppraisedEvidence<'_>) -> Option<Reason> {
    let max_age = policy.freshness.max_age?;
    let age = evidence.age_s;
    let (tier, text) = if age <= max_age {
        (TrustTier::Affirming, format!("the evidence came {age} s after the challenge"))
    } else {
        (
            TrustTier::Contraindicated,
            format!("the evidence came {age} s after the challenge, but at most {max_age} s are allowed"),
        )
    };
    Some(Reason::new("freshness.max-age", Area::Freshness, tier, text))
}

/// Checks the files that ran since boot, if the policy has rules for them.
pub(super) fn ima_log_is_allowed(policy: &Policy, evidence: &AppraisedEvidence<'_>) -> Vec<Reason> {
    let Some(section) = &policy.ima else { return rules::ima_log_is_confirmed(evidence) };
    let (tier, text) = match evidence.ima {
        ImaProgress::Behind => (TrustTier::Warning, "the device has not sent all of its IMA log yet"),
        ImaProgress::Absent => (TrustTier::Contraindicated, "the device sent no IMA log"),
        ImaProgress::Followed { outcome: Outcome::Unanchored, .. } => {
            let tier = if section.require_anchored { TrustTier::Contraindicated } else { TrustTier::Warning };
            return vec![ima_reason("ima.require-anchored", tier, UNANCHORED)];
        }
        ImaProgress::Followed { outcome, findings } => {
            let (tier, text) = ima_log_integrity(outcome);
            let mut reasons = vec![ima_reason(IMA_LOG, tier, text)];
            if matches!(outcome, Outcome::Anchored { .. }) {
                reasons.extend(weigh_entries(section, findings));
            }
            return reasons;
        }
    };
    vec![ima_reason(IMA_LOG, tier, text)]
}

fn weigh_entries(section: &ImaSection, findings: Option<&Findings>) -> Vec<Reason> {
    let Some(findings) = findings else {
        let text =
            "these rules were not applied to the IMA log yet: the device's next report includes its entries";
        return vec![ima_reason("ima.unexplained", TrustTier::Contraindicated, text)];
    };
    let mut reasons =
        weigh_offenders("ima.unexplained", section.unexplained, findings.offending, &findings.offenders);
    reasons.extend(weigh_offenders(
        "ima.violations",
        section.violations,
        findings.violations,
        &findings.violated,
    ));
    if findings.elsewhere > 0 {
        let text = format!(
            "{} entries of the IMA log are for PCRs other than 10, so the TPM does not confirm them",
            findings.elsewhere
        );
        reasons.push(ima_reason(IMA_LOG, TrustTier::Warning, text));
    }
    if reasons.is_empty() {
        let text = format!(
            "{} entries of the IMA log are allowed: {} by digest, {} by signature, {} by path",
            findings.entries, findings.by_digest, findings.by_signature, findings.excluded
        );
        reasons.push(ima_reason("ima.unexplained", TrustTier::Affirming, text));
    }
    reasons
}

/// Returns a reason for each stored entry, and one for all others. `count` is the number of all entries.
fn weigh_offenders(rule: &'static str, weight: Weight, count: u64, stored: &[Offender]) -> Vec<Reason> {
    let Some(tier) = weight.tier().filter(|_| count > 0) else { return Vec::new() };
    let mut reasons: Vec<Reason> =
        stored.iter().map(|offender| ima_reason(rule, tier, offender.to_string())).collect();
    let more = count.saturating_sub(u64::try_from(stored.len()).unwrap_or(u64::MAX));
    if more > 0 {
        reasons.push(ima_reason(rule, tier, format!("{more} more entries of the IMA log like these")));
    }
    reasons
}

fn ima_reason(rule: &'static str, tier: TrustTier, text: impl Into<String>) -> Reason {
    Reason::new(rule, Area::Runtime, tier, text)
}
