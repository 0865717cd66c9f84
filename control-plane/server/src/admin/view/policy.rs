use std::collections::BTreeMap;
use std::path::PathBuf;

use pawl_evidence::appraise::{AttestationResult, Reason};
use pawl_evidence::eventlog::EventLog;
use pawl_proto::message::{Area, TrustTier};
use pawl_proto::{DeviceId, Digest, PcrBank, PcrValue};
use serde::{Deserialize, Serialize};

use super::IncidentView;
use crate::policy::remedy;
use pawl_verifier::DevicePolicy;
use pawl_verifier::report::{AppraisalInput, bank_hash};

/// `policy explain`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplanationView {
    /// The device.
    pub device: DeviceId,
    /// When the evidence was received.
    pub shown_at: u64,
    /// The digest of its boot state, which `policy learn` and `accept` name.
    pub state: Option<Digest>,
    /// The policy in force; none if exact states are compared.
    pub policy: Option<PolicyView>,
    /// The trust tier.
    pub result: TrustTier,
    /// The trust tier of each area.
    pub areas: BTreeMap<Area, TrustTier>,
    /// The reasons, worst first.
    pub reasons: Vec<ReasonView>,
    /// The open incidents, which lower the tier of its verdicts further.
    pub incidents: Vec<IncidentView>,
}

/// A policy in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyView {
    /// Its file.
    pub file: PathBuf,
    /// SHA-256 of it and of the files that it names.
    pub sha256: Digest,
}

/// A reason, in [`ExplanationView`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReasonView {
    /// Its area.
    pub area: Area,
    /// The trust tier that it leads to.
    pub result: TrustTier,
    /// The rule; a rule of the policy is named `section.key`.
    pub rule: String,
    /// The reason in words.
    pub text: String,
    /// The line of the boot event log that it is about.
    pub event: Option<usize>,
    /// The text of that line.
    pub logged: Option<String>,
    /// What to do; none if nothing is wrong.
    pub to_do: Option<String>,
}

/// `policy learn`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearntView {
    /// The device.
    pub device: DeviceId,
    /// When the evidence was received that the policy was learnt from.
    pub shown_at: u64,
    /// The digest of that boot state.
    pub state: Option<Digest>,
    /// The policy as a file.
    pub policy: String,
    /// The quoted PCR 10.
    pub pcr_10: Option<PcrValue>,
}

/// One file of `policy check`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckedView {
    /// The policy.
    #[serde(flatten)]
    pub policy: PolicyView,
    /// Its rules, each with a sentence.
    pub rules: Vec<(String, String)>,
}

impl ExplanationView {
    pub(in crate::admin) fn new(
        device: DeviceId,
        input: &AppraisalInput<'_>,
        shown_at: u64,
        attestation: &AttestationResult,
    ) -> Self {
        let lines = lines(input.boot_log, input.lease_pcrs.bank());
        Self {
            device,
            shown_at,
            state: None,
            policy: input.policy.map(PolicyView::from),
            result: attestation.tier,
            areas: attestation.areas(),
            reasons: attestation.reasons.iter().map(|reason| ReasonView::new(reason, &lines)).collect(),
            incidents: Vec::new(),
        }
    }
}

impl From<&DevicePolicy> for PolicyView {
    fn from(policy: &DevicePolicy) -> Self {
        Self { file: policy.file.clone(), sha256: policy.digest }
    }
}

impl ReasonView {
    fn new(reason: &Reason, lines: &BTreeMap<usize, String>) -> Self {
        let good = reason.tier == TrustTier::Affirming;
        Self {
            area: reason.area,
            result: reason.tier,
            rule: reason.rule.to_owned(),
            text: reason.text.clone(),
            event: reason.event,
            logged: reason.event.and_then(|event| lines.get(&event).cloned()),
            to_do: (!good).then(|| remedy(reason.rule).to_owned()),
        }
    }
}

/// Returns the events of a log in words, by line; none for a log that cannot be parsed.
fn lines(log: Option<&[u8]>, bank: PcrBank) -> BTreeMap<usize, String> {
    let log = log.and_then(|log| EventLog::parse(log).ok());
    let facts = log.as_ref().and_then(|log| log.facts_of(bank_hash(bank)).ok()).unwrap_or_default();
    facts.iter().map(|event| (event.number, event.to_string())).collect()
}
