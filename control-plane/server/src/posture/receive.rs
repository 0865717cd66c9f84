use std::sync::Arc;

use pawl_evidence::appraise::TpmTime;
use pawl_evidence::attest::{AttestationKey, VerifiedQuote};
use pawl_evidence::ima::Rules;
use pawl_evidence::tpm::Public;
use pawl_proto::DeviceId;
use pawl_proto::limits;
use pawl_proto::message::{Appraisal, Area, Report, Standing, Verdict};

use super::appraisal::Shown;
use super::audit::{self, Occasion, Seen};
use super::complete::{self, Complete, Incomplete};
use super::judgement::{judge, record_verdict};
use super::lease_pcrs::LeasePcrs;
use super::quoted::Quoted;
use super::sample;
use crate::control_plane::ControlPlane;
use crate::incident;
use crate::store::{Base, Device, Pairing, PairingState, StoreError, Tx};
use crate::verdict::{Draft, IssueError};

/// Takes a report in and answers it. An error means that it was not decided about; what is
/// refused for good is no error.
pub(crate) async fn receive(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    message: Vec<u8>,
) -> Result<(), StoreError> {
    let plane_in_tx = Arc::clone(plane);
    let answered = plane.store.transaction(move |tx| receive_in(&plane_in_tx, tx, device, &message)).await;
    match answered {
        Ok(Received::Refused(reason)) => {
            tracing::warn!(%device, reason, "a report is refused");
            Ok(())
        }
        Ok(Received::Answered(verdict)) => {
            plane.outbox.wake();
            tracing::info!(
                %device, sequence = verdict.sequence, result = ?verdict.result, lease = verdict.lease.is_some(),
                "verdict"
            );
            Ok(())
        }
        Err(PostureError::Refused(reason)) => {
            tracing::warn!(%device, reason, "a report is refused");
            Ok(())
        }
        Err(PostureError::Failed(IssueError::Store(error))) => Err(error),
        Err(PostureError::Failed(error)) => {
            tracing::error!(%device, %error, "a report cannot be answered");
            Ok(())
        }
    }
}

/// What becomes of a report whose effects are kept.
enum Received {
    /// The verdict on it.
    Answered(Box<Verdict>),
    /// It is refused for good, and why.
    Refused(String),
}

fn receive_in(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    id: DeviceId,
    message: &[u8],
) -> Result<Received, PostureError> {
    let report: Report = pawl_proto::decode(message, limits::MESSAGE).map_err(refuse)?;
    let device = tx.device(id)?.ok_or_else(|| refuse("nobody enrolled the device"))?;
    let pairing = tx.newest_pairing(id)?.ok_or_else(|| refuse("the device was never paired"))?;
    let public = Public::unmarshal(&pairing.attestation_key).map_err(refuse)?;
    let key = AttestationKey::from_public(public).map_err(refuse)?;
    let quoted = Quoted::verify(&key, &report).map_err(refuse)?;
    let ended = quoted.evidence.epoch < pairing.epoch || pairing.state != PairingState::Live;
    if ended && quoted.evidence.device == id {
        let time = TpmTime::new(quoted.evidence.epoch.0, quoted.clock());
        incident::check_history(tx, id, time, plane.clock.now())?;
        return Ok(Received::Refused("its pairing has ended".to_owned()));
    }
    let verdict = decide(plane, tx, &device, &pairing, &quoted, message.len())?;
    Ok(Received::Answered(Box::new(verdict)))
}

fn decide(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    device: &Device,
    pairing: &Pairing,
    quoted: &Quoted,
    length: usize,
) -> Result<Verdict, PostureError> {
    let id = device.id;
    let evidence = &quoted.evidence;
    if (evidence.device, evidence.pairing, evidence.epoch) != (id, pairing.id, pairing.epoch) {
        return Err(refuse("the report is for another device, pairing or epoch"));
    }
    let policy = plane.policies.of(id);
    let age = age(plane, tx, id)?;
    let too_old = policy.as_ref().is_some_and(|policy| policy.is_too_old(age));
    if evidence.nonce != pairing.nonce || too_old {
        return challenge(plane, tx, device, pairing, quoted, false);
    }
    let rules = policy.as_ref().and_then(|policy| policy.ima.as_ref());
    match examine(tx, pairing, quoted, rules)? {
        Examined::Whole => challenge(plane, tx, device, pairing, quoted, true),
        Examined::Contradiction(reason) => {
            let draft = Draft {
                result: Some(Appraisal::Contraindicated),
                areas: [(Area::Boot, Appraisal::Contraindicated)].into(),
                reasons: vec![reason],
                interval: plane.config.report_interval(),
                answers: Some(quoted.digest),
                ..Draft::challenge(device.standing, true)
            };
            issue(plane, tx, pairing, draft, quoted, Seen::default())
        }
        Examined::Complete(quote, mut complete) => {
            let boot_log = complete.boot_log.as_deref();
            let lease_pcrs = LeasePcrs::of(
                &plane.config.lease,
                Some(pairing),
                boot_log,
                complete.measure_log(),
                quote.pcrs(),
            );
            complete.base.lease_pcrs_added.clone_from(lease_pcrs.added());
            let shown = Shown {
                device: id,
                policy: policy.as_deref(),
                quote: &quote,
                lease_pcrs: &lease_pcrs,
                epoch: pairing.epoch,
                age,
                boot_log: complete.boot_log.as_deref(),
                measure_log: complete.measure_log(),
                measure_log_behind: complete.measured_behind,
                ima: complete.ima_log(),
            };
            answer(plane, tx, device, pairing, &shown, quoted, &complete.base, length)
        }
    }
}

/// What a report turned out to be.
enum Examined {
    /// It builds on what is not known: a whole one is needed.
    Whole,
    /// A whole one that contradicts itself.
    Contradiction(String),
    /// All is there and tied to the quote.
    Complete(Box<VerifiedQuote>, Box<Complete>),
}

/// Seconds since the nonce was given out that the next report has to repeat.
fn age(plane: &ControlPlane, tx: &Tx<'_>, device: DeviceId) -> Result<u64, StoreError> {
    let given = tx.last_verdict_time(device)?;
    Ok(given.map_or(0, |given| plane.clock.now().saturating_sub(given)))
}

fn examine(
    tx: &Tx<'_>,
    pairing: &Pairing,
    quoted: &Quoted,
    rules: Option<&Rules>,
) -> Result<Examined, PostureError> {
    let evidence = &quoted.evidence;
    let base = match evidence.since {
        None => None,
        Some(since) => match pairing.base.as_ref().filter(|base| base.evidence == since) {
            Some(base) => Some(base),
            None => return Ok(Examined::Whole),
        },
    };
    let quote = match quoted.composite(&complete::pcrs(evidence, base)) {
        Ok(quote) => quote,
        Err(_) if base.is_some() => return Ok(Examined::Whole),
        Err(error) => return Ok(Examined::Contradiction(error.to_string())),
    };
    let before = match base {
        Some(base) => Some((base, tx.boot_log(pairing.id)?)),
        None => None,
    };
    match Complete::new(evidence, quoted.digest, before, quote.pcrs(), rules) {
        Ok(complete) => Ok(Examined::Complete(Box::new(quote), Box::new(complete))),
        Err(Incomplete::Unknown) if base.is_some() => Ok(Examined::Whole),
        Err(error) => Ok(Examined::Contradiction(error.to_string())),
    }
}

#[expect(clippy::too_many_arguments, reason = "everything that a verdict rests on")]
fn answer(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    device: &Device,
    pairing: &Pairing,
    shown: &Shown<'_>,
    quoted: &Quoted,
    base: &Base,
    length: usize,
) -> Result<Verdict, PostureError> {
    let now = plane.clock.now();
    let evidence = &quoted.evidence;
    let accepted = tx.boot_states(device.id)?;
    // Where its time stands in the life of the TPM is judged by what was seen of it, below.
    let judgement = judge(shown, accepted, None);
    let mut seen = Seen::default();
    let forward = incident::follow(
        tx,
        &incident::Now {
            device: device.id,
            time: TpmTime::new(pairing.epoch.0, shown.quote.clock()),
            evidence,
            now_ms: plane.clock.now_ms(),
        },
    )?;
    if forward {
        if evidence.since.is_none() {
            tx.set_boot_log(pairing.id, shown.boot_log)?;
        }
        sample::keep(tx, shown, quoted, &pairing.attestation_key, now)?;
        tx.take_report(pairing.id, base, length, evidence.since.is_none(), evidence.host.as_ref(), now)?;
        tx.settle_refreshes(device.id)?;
        seen = audit::take(tx, device.id, pairing.id, evidence.audit.as_ref(), Occasion::Report, now)?;
        if let Some(state) = shown.lease_pcrs.state(&base.pcrs) {
            tx.set_reported_state(device.id, &state)?;
            tx.boot_states_reached(device.id, &base.pcrs)?;
        }
    }
    let suspended = device.standing_reason.clone().filter(|_| device.standing == Standing::Suspended);
    let mut draft = judgement.into_draft(plane, device.standing, suspended, quoted.digest);
    // A TPM that went back has no state that anything could build on.
    draft.whole = !forward;
    seen.tell(&mut draft);
    incident::tell(&mut draft, &tx.open_incidents(device.id)?);
    issue(plane, tx, pairing, draft, quoted, seen)
}

fn issue(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    pairing: &Pairing,
    draft: Draft,
    quoted: &Quoted,
    seen: Seen,
) -> Result<Verdict, PostureError> {
    let (verdict, _) = draft.issue(plane, tx, pairing)?;
    record_verdict(tx, &verdict, quoted, seen.head)?;
    Ok(verdict)
}

/// Answers without a judgement: a fresh nonce, and a request to report again at once.
fn challenge(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    device: &Device,
    pairing: &Pairing,
    quoted: &Quoted,
    whole: bool,
) -> Result<Verdict, PostureError> {
    if !plane.challenges.admit(device.id, plane.clock.monotonic_ms()) {
        return Err(refuse("it is stale, and too many were"));
    }
    let draft = Draft { answers: Some(quoted.digest), ..Draft::ask(device, whole) };
    Ok(draft.issue(plane, tx, pairing)?.0)
}

fn refuse(reason: impl std::fmt::Display) -> PostureError {
    PostureError::Refused(reason.to_string())
}

/// A report that is not answered.
#[derive(Debug, thiserror::Error)]
enum PostureError {
    /// It is refused for good.
    #[error("{0}")]
    Refused(String),
    /// The control plane's own trouble.
    #[error(transparent)]
    Failed(#[from] IssueError),
}

impl From<StoreError> for PostureError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}
