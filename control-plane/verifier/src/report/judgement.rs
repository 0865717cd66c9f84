use std::collections::BTreeMap;

use pawl_evidence::appraise::{self, AttestationResult, HighWater, Reason};
use pawl_proto::message::{Area, Standing, TrustTier, Verdict};
use pawl_proto::{Digest, limits};

use super::appraisal::{AppraisalInput, appraise};
use super::quoted::QuotedEvidence;
use crate::boot_state::AcceptedState;
use crate::lease::LeaseBasis;
use crate::record::{ChainHead, Fact};
use crate::verdict::VerdictDraft;

/// The result of an appraisal, in the terms of a verdict.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The trust tier.
    pub result: TrustTier,
    /// The reasons that decided it.
    pub reasons: Vec<String>,
    areas: BTreeMap<Area, TrustTier>,
    policy: Option<Digest>,
    /// Whether pieces of a log or NvPCRs are missing: the device must report again at once.
    behind: bool,
    /// `None` if the policy has rules on the IMA log, or on NvPCRs, that could not be applied yet: a lease must not cover
    /// files that were not examined.
    lease: Option<LeaseBasis>,
}

/// Appraises evidence and returns the judgement on it.
#[must_use]
pub fn judge(
    input: &AppraisalInput<'_>,
    accepted: Vec<AcceptedState>,
    highest: Option<HighWater>,
) -> Judgement {
    let attestation = appraise(input, accepted, highest);
    let behind = matches!(input.ima, appraise::ImaProgress::Behind);
    let not_asked = matches!(input.nvpcrs, appraise::NvPcrs::NotAsked)
        && input.policy.is_some_and(|policy| !policy.policy.nvpcr.is_empty());
    // A log that never ends must not postpone the appraisal of PCR 10.
    let unjudged = not_asked || behind && input.policy.is_some_and(|policy| policy.ima.is_some());
    let lease = LeaseBasis {
        clock: input.quote.clock(),
        pcrs: input.quote.pcrs().clone(),
        lease_pcrs: input.lease_pcrs.clone(),
    };
    Judgement {
        result: attestation.tier,
        reasons: told_reasons(&attestation, input.policy.is_some()),
        areas: attestation.areas(),
        policy: input.policy.map(|policy| policy.digest),
        behind: behind || input.measure_log_behind || not_asked,
        lease: (!unjudged).then_some(lease),
    }
}

/// Returns the reasons that decided the result, without the others.
fn told_reasons(attestation: &AttestationResult, under_policy: bool) -> Vec<String> {
    let deciding: Vec<&Reason> =
        attestation.reasons.iter().filter(|reason| reason.tier == attestation.tier).collect();
    let more = deciding.len().saturating_sub(limits::REASONS);
    // The remark that there are more reasons takes the place of the last one.
    let told = if more > 0 { limits::REASONS.saturating_sub(1) } else { limits::REASONS };
    let mut reasons: Vec<String> =
        deciding.iter().take(told).map(|reason| told_reason(reason, under_policy)).collect();
    if more > 0 {
        let more = more.saturating_add(1);
        reasons.push(format!("and {more} more reasons; on the control plane: policy explain"));
    }
    reasons
}

/// Formats a reason. The rule comes before the text, because a verdict may truncate the text.
fn told_reason(reason: &Reason, under_policy: bool) -> String {
    let Reason { area, rule, text, .. } = reason;
    match (under_policy, reason.event) {
        (false, _) => format!("{area}: {text}"),
        (true, None) => format!("{area} ({rule}): {text}"),
        (true, Some(event)) => format!("{area} ({rule}, line {event}): {text}"),
    }
}

impl Judgement {
    /// Returns the verdict on the evidence with the digest `answers`. It contains a lease, unless the result is
    /// contraindicated, the operator has suspended the device, or a lease must wait for missing evidence. The next report is due
    /// after `interval` seconds, or at once if evidence is missing.
    #[must_use]
    pub fn into_draft(
        self,
        standing: Standing,
        standing_reason: Option<String>,
        answers: Digest,
        interval: u32,
    ) -> VerdictDraft {
        let good = self.result != TrustTier::Contraindicated && standing == Standing::Active;
        VerdictDraft {
            answers: Some(answers),
            standing,
            result: Some(self.result),
            areas: self.areas,
            policy: self.policy,
            reasons: standing_reason.into_iter().chain(self.reasons).collect(),
            whole: false,
            interval: if self.behind { 0 } else { interval },
            lease: self.lease.filter(|_| good),
        }
    }
}

/// Returns the record of a verdict, with the quote that it is based on. `records` is the last record of the device's own chain
/// that the control plane has; `by` names the program that appraised the report.
#[must_use]
pub fn verdict_fact(
    verdict: &Verdict,
    quoted: &QuotedEvidence,
    records: Option<ChainHead>,
    by: &str,
) -> Fact {
    Fact::Verdict {
        sequence: verdict.sequence,
        result: verdict.result.map(|result| result.to_string()).unwrap_or_default(),
        reasons: verdict.reasons.iter().map(|reason| reason.as_str().to_owned()).collect(),
        evidence: quoted.digest.to_string(),
        quote: hex::encode(quoted.attest.as_bytes()),
        signature: hex::encode(quoted.signature.as_bytes()),
        at: Some(quoted.clock().into()),
        by: Some(by.to_owned()),
        policy: verdict.policy.map(|digest| digest.to_string()),
        records,
    }
}
