use std::collections::BTreeMap;

use pawl_evidence::appraise::{self, HighWater, Reason, TpmTime};
use pawl_proto::message::{Appraisal, Area, Standing, Verdict};
use pawl_proto::{DeviceId, Digest, limits};

use super::appraisal::{Shown, appraise};
use super::quoted::Quoted;
use crate::control_plane::ControlPlane;
use crate::lease::Appraised;
use crate::record::{ChainHead, Fact};
use crate::store::{AcceptedState, BootState, StoreError, Tx};
use crate::verdict::Draft;

/// A judgement, before it is told to anybody.
pub(crate) struct Judgement {
    pub(crate) result: Appraisal,
    pub(crate) reasons: Vec<String>,
    areas: BTreeMap<Area, Appraisal>,
    policy: Option<Digest>,
    /// More pieces of a log have to come: the device is to report again at once.
    behind: bool,
    /// None where a lease would be given for what nobody has judged yet.
    appraised: Option<Appraised>,
}

/// Judges what a device has shown.
pub(crate) fn judge(
    shown: &Shown<'_>,
    accepted: Vec<AcceptedState>,
    highest: Option<HighWater>,
) -> Judgement {
    let appraisal = appraise(shown, accepted, highest);
    let behind = matches!(shown.ima, appraise::ImaLog::Behind);
    // Whoever always has more to send would never be judged by what was run.
    let unjudged = behind && shown.policy.is_some_and(|policy| policy.ima.is_some());
    let appraised = Appraised {
        clock: shown.quote.clock(),
        pcrs: shown.quote.pcrs().clone(),
        lease_pcrs: shown.lease_pcrs.clone(),
    };
    Judgement {
        result: told_result(appraisal.result),
        reasons: told_reasons(&appraisal, shown.policy.is_some()),
        areas: told_areas(&appraisal),
        policy: shown.policy.map(|policy| policy.digest),
        behind: behind || shown.measure_log_behind,
        appraised: (!unjudged).then_some(appraised),
    }
}

/// What decided, and not what else there is to say about the device.
fn told_reasons(appraisal: &appraise::Appraisal, under_policy: bool) -> Vec<String> {
    let deciding: Vec<&Reason> =
        appraisal.reasons.iter().filter(|reason| reason.verdict == appraisal.result).collect();
    let more = deciding.len().saturating_sub(limits::REASONS);
    // One of them gives way to the remark that there are more.
    let told = if more > 0 { limits::REASONS.saturating_sub(1) } else { limits::REASONS };
    let mut reasons: Vec<String> =
        deciding.iter().take(told).map(|reason| told_reason(reason, under_policy)).collect();
    if more > 0 {
        let more = more.saturating_add(1);
        reasons.push(format!("and {more} more reasons; on the control plane: policy explain"));
    }
    reasons
}

/// The rule comes before the text, which may be cut at its end.
fn told_reason(reason: &Reason, under_policy: bool) -> String {
    let Reason { area, rule, text, .. } = reason;
    match (under_policy, reason.event) {
        (false, _) => format!("{area}: {text}"),
        (true, None) => format!("{area} ({rule}): {text}"),
        (true, Some(event)) => format!("{area} ({rule}, line {event}): {text}"),
    }
}

pub(crate) fn told_result(verdict: appraise::Verdict) -> Appraisal {
    match verdict {
        appraise::Verdict::Affirming => Appraisal::Affirming,
        appraise::Verdict::Warning => Appraisal::Warning,
        appraise::Verdict::Contraindicated => Appraisal::Contraindicated,
    }
}

pub(crate) fn told_areas(appraisal: &appraise::Appraisal) -> BTreeMap<Area, Appraisal> {
    appraisal.areas().into_iter().map(|(area, verdict)| (told_area(area), told_result(verdict))).collect()
}

pub(crate) fn told_area(area: appraise::Area) -> Area {
    match area {
        appraise::Area::Hardware => Area::Hardware,
        appraise::Area::Firmware => Area::Firmware,
        appraise::Area::Boot => Area::Boot,
        appraise::Area::Runtime => Area::Runtime,
        appraise::Area::Freshness => Area::Freshness,
    }
}

impl Judgement {
    /// The verdict on the evidence of this digest. A good one brings a lease, unless the operator
    /// says otherwise.
    pub(crate) fn into_draft(
        self,
        plane: &ControlPlane,
        standing: Standing,
        standing_reason: Option<String>,
        answers: Digest,
    ) -> Draft {
        let good = self.result != Appraisal::Contraindicated && standing == Standing::Active;
        Draft {
            answers: Some(answers),
            standing,
            result: Some(self.result),
            areas: self.areas,
            policy: self.policy,
            reasons: standing_reason.into_iter().chain(self.reasons).collect(),
            whole: false,
            interval: if self.behind { 0 } else { plane.config.report_interval() },
            lease: self.appraised.filter(|_| good),
        }
    }
}

/// The record of an accepted boot state.
pub(crate) fn accepted_fact(state: &BootState, by: &str) -> Fact {
    let pcrs = state.iter().map(|(index, value)| format!("{index}={value}")).collect();
    Fact::Accepted { pcrs, by: by.to_owned() }
}

/// The record of a verdict, with the quote on which it rests, and how far the device's own records
/// were known by then.
pub(crate) fn record_verdict(
    tx: &Tx<'_>,
    verdict: &Verdict,
    quoted: &Quoted,
    records: Option<ChainHead>,
) -> Result<(), StoreError> {
    let fact = Fact::Verdict {
        sequence: verdict.sequence,
        result: verdict.result.map(|result| result.to_string()).unwrap_or_default(),
        reasons: verdict.reasons.iter().map(|reason| reason.as_str().to_owned()).collect(),
        evidence: quoted.digest.to_string(),
        quote: hex::encode(quoted.attest.as_bytes()),
        signature: hex::encode(quoted.signature.as_bytes()),
        at: Some(quoted.clock().into()),
        by: Some(concat!("pawl-control-plane ", env!("CARGO_PKG_VERSION")).to_owned()),
        policy: verdict.policy.map(|digest| digest.to_string()),
        records,
    };
    tx.record(verdict.device, verdict.time, fact)
}

/// Remembers where a TPM is now. False when it was later before: then nothing is changed.
pub(crate) fn raise_high_water(tx: &Tx<'_>, device: DeviceId, now: TpmTime) -> Result<bool, StoreError> {
    let highest = tx.high_water(device)?;
    if highest.is_some_and(|highest| !highest.admits(now)) {
        return Ok(false);
    }
    tx.raise_high_water(device, highest.map_or(HighWater::first(now), |highest| highest.raised_to(now)))?;
    Ok(true)
}
