//! Posture: receives reports and answers them with verdicts.

use std::sync::Arc;

use pawl_proto::DeviceId;
use pawl_proto::message::{Area, Audit, Evidence, Standing, TrustTier, Verdict};
use pawl_verifier::audit::{ChainUpdate, Occasion, RecordsReport, follow_records};
use pawl_verifier::incident::TpmSighting;
use pawl_verifier::pairing::Pairing;
use pawl_verifier::record::ChainHead;
use pawl_verifier::report::{
    Appraised, QuotedEvidence, ReportBasis, ReportDecision, ReportError, ReportOutcome, Terms,
    appraise_report, verdict_fact,
};
use pawl_verifier::verdict::VerdictDraft;

use crate::control_plane::ControlPlane;
use crate::incident;
use crate::off_runtime::off_runtime;
use crate::store::{Device, NewReport, StoreError, Tx};
use crate::verdict::{self, IssueError};

/// Receives a report and answers it. Returns an error only if nothing was decided and the report must be processed
/// again; a refused report is not an error.
pub(crate) async fn receive(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    message: Vec<u8>,
) -> Result<(), StoreError> {
    match answer(plane, device, message.into()).await {
        Ok(Received::Answered(verdict)) => {
            plane.outbox.wake();
            tracing::info!(
                %device, sequence = verdict.sequence, result = ?verdict.result, lease = verdict.lease.is_some(),
                "verdict"
            );
            Ok(())
        }
        Ok(Received::Ended) => {
            plane.outbox.wake();
            tracing::warn!(%device, "report refused: its pairing has ended; publishing the order that ended it again");
            Ok(())
        }
        Err(PostureError::Refused(error)) => {
            tracing::warn!(%device, reason = %error, "report refused");
            Ok(())
        }
        Err(PostureError::Failed(IssueError::Store(error))) => Err(error),
        Err(PostureError::Failed(error)) => {
            tracing::error!(%device, %error, "cannot answer a report");
            Ok(())
        }
    }
}

/// The committed outcome of a report.
enum Received {
    /// The control plane answered it with this verdict.
    Answered(Box<Verdict>),
    /// The control plane refused it: its pairing has ended.
    Ended,
}

/// Loads the state, appraises the report outside of any transaction, and commits if the state has not changed. Repeats all
/// of it when another transaction has changed the state.
async fn answer(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    message: Arc<[u8]>,
) -> Result<Received, PostureError> {
    loop {
        let (basis, boot_log) = plane.store.transaction(move |tx| load(tx, device)).await?;
        let decision = {
            let (plane, message, basis) = (Arc::clone(plane), Arc::clone(&message), basis.clone());
            off_runtime(move || {
                let policy = plane.policies.of(device);
                let terms = Terms { policy: policy.as_deref(), lease: &plane.config.lease };
                appraise_report(&basis, boot_log, device, &message, terms, plane.clock.now())
            })
            .await??
        };
        #[cfg(test)]
        plane.appraisals.done(&plane.store).await;
        let (plane_in_tx, length) = (Arc::clone(plane), message.len());
        let committed = plane
            .store
            .transaction(move |tx| commit(&plane_in_tx, tx, device, &basis, &decision, length))
            .await?;
        if let Some(received) = committed {
            return Ok(received);
        }
        tracing::debug!(%device, "the device's state changed during the appraisal of its report: repeating it");
    }
}

/// Loads the basis of a report's appraisal, and the boot log of the last whole report.
fn load(tx: &Tx<'_>, id: DeviceId) -> Result<(ReportBasis, Option<Vec<u8>>), PostureError> {
    let basis = load_basis(tx, id)?;
    let boot_log = tx.boot_log(basis.pairing.id)?;
    Ok((basis, boot_log))
}

fn load_basis(tx: &Tx<'_>, id: DeviceId) -> Result<ReportBasis, PostureError> {
    tx.device(id)?.ok_or_else(|| ReportError::new("the device is not enrolled"))?;
    let pairing = tx.newest_pairing(id)?.ok_or_else(|| ReportError::new("the device was never paired"))?;
    let last = tx.last_verdict(id)?;
    Ok(ReportBasis {
        pairing,
        accepted: tx.boot_states(id)?,
        challenged_at: last.as_ref().map(|verdict| verdict.time),
        nvpcrs_asked: last.map(|verdict| verdict.nvpcrs).unwrap_or_default(),
    })
}

/// Commits a decision and answers the device. Returns none when the state has changed since the decision was computed. The
/// boot log need not be compared: it changes only together with the pairing's base.
fn commit(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    id: DeviceId,
    basis: &ReportBasis,
    decision: &ReportDecision,
    length: usize,
) -> Result<Option<Received>, PostureError> {
    if load_basis(tx, id)? != *basis {
        return Ok(None);
    }
    let device = tx.device(id)?.ok_or_else(|| ReportError::new("the device is not enrolled"))?;
    let (pairing, quoted) = (&basis.pairing, &decision.quoted);
    let verdict = match &decision.outcome {
        ReportOutcome::Ended { time } => {
            incident::check_history(tx, id, *time, plane.clock.now())?;
            // The broker acknowledged the order, but the device has not received it or not carried it out.
            tx.publish_events_of_again(id)?;
            return Ok(Some(Received::Ended));
        }
        ReportOutcome::Challenge { whole } => challenge(plane, tx, &device, pairing, quoted, *whole)?,
        ReportOutcome::Contradiction { reason } => {
            let draft = VerdictDraft {
                result: Some(TrustTier::Contraindicated),
                areas: [(Area::Boot, TrustTier::Contraindicated)].into(),
                reasons: vec![reason.clone()],
                interval: plane.config.report_interval(),
                answers: Some(quoted.digest),
                ..VerdictDraft::challenge(device.standing, true)
            };
            issue(plane, tx, pairing, draft, quoted, None)?
        }
        ReportOutcome::Appraised(appraised) => {
            answer_appraised(plane, tx, &device, pairing, quoted, appraised, length)?
        }
    };
    Ok(Some(Received::Answered(Box::new(verdict))))
}

/// Stores an appraised report, and issues the verdict on it.
fn answer_appraised(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    device: &Device,
    pairing: &Pairing,
    quoted: &QuotedEvidence,
    appraised: &Appraised,
    length: usize,
) -> Result<Verdict, PostureError> {
    let evidence = &quoted.evidence;
    let sighting =
        TpmSighting { device: device.id, time: appraised.time, evidence, now_ms: plane.clock.now_ms() };
    let is_forward = incident::follow(tx, &sighting)?;
    let mut records = ChainUpdate::default();
    if is_forward {
        store_report(plane, tx, pairing, evidence, appraised, length)?;
        let report =
            RecordsReport { pairing: pairing.id, occasion: Occasion::Report, now: plane.clock.now() };
        records = store_records(tx, device.id, evidence.audit.as_ref(), report)?;
    }
    let suspended = device.standing_reason.clone().filter(|_| device.standing == Standing::Suspended);
    let interval = plane.config.report_interval();
    let mut draft =
        appraised.judgement.clone().into_draft(device.standing, suspended, quoted.digest, interval);
    // The next report must not build on the state of a TPM that was set back.
    draft.whole = !is_forward;
    records.weigh(&mut draft);
    pawl_verifier::incident::weigh(&mut draft, &tx.open_incidents(device.id)?);
    issue(plane, tx, pairing, draft, quoted, records.head)
}

/// Stores the base of the next report, and the data that operators see.
fn store_report(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    pairing: &Pairing,
    evidence: &Evidence,
    appraised: &Appraised,
    length: usize,
) -> Result<(), StoreError> {
    let (now, is_whole) = (plane.clock.now(), evidence.since.is_none());
    if is_whole {
        tx.set_boot_log(pairing.id, appraised.boot_log.as_deref())?;
    }
    let kept = appraised.kept.as_ref().ok_or(StoreError::Malformed("attestation key"))?;
    tx.set_kept_evidence(pairing.device, kept, appraised.boot_log.as_deref())?;
    let report = NewReport {
        at: now,
        bytes: length,
        whole: is_whole,
        host: evidence.host.as_ref(),
        health: evidence.health.as_ref(),
    };
    tx.store_report(pairing.id, &appraised.base, report)?;
    tx.settle_refreshes(pairing.device)?;
    if let Some(boot) = &appraised.boot {
        tx.set_reported_state(pairing.device, boot)?;
        tx.mark_boot_states_reached(pairing.device, &appraised.base.pcrs)?;
    }
    Ok(())
}

fn issue(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    pairing: &Pairing,
    draft: VerdictDraft,
    quoted: &QuotedEvidence,
    records: Option<ChainHead>,
) -> Result<Verdict, PostureError> {
    let (verdict, _) = verdict::issue(plane, tx, pairing, draft)?;
    record_verdict(tx, &verdict, quoted, records)?;
    Ok(verdict)
}

/// Answers without an attestation result: with a fresh nonce, and a request to report again at once.
fn challenge(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    device: &Device,
    pairing: &Pairing,
    quoted: &QuotedEvidence,
    whole: bool,
) -> Result<Verdict, PostureError> {
    if !plane.challenges.admit(device.id, plane.clock.monotonic_ms()) {
        return Err(ReportError::new("the device has sent too many stale reports").into());
    }
    let draft = VerdictDraft { answers: Some(quoted.digest), ..verdict::ask_for_report(device, whole) };
    Ok(verdict::issue(plane, tx, pairing, draft)?.0)
}

/// Records a verdict, with the quote that it is based on.
pub(crate) fn record_verdict(
    tx: &Tx<'_>,
    verdict: &Verdict,
    quoted: &QuotedEvidence,
    records: Option<ChainHead>,
) -> Result<(), StoreError> {
    let by = concat!("pawl-control-plane ", env!("CARGO_PKG_VERSION"));
    tx.record(verdict.device, verdict.time, verdict_fact(verdict, quoted, records, by))
}

/// Stores the device's own audit records that a report contains.
pub(crate) fn store_records(
    tx: &Tx<'_>,
    device: DeviceId,
    audit: Option<&Audit>,
    report: RecordsReport,
) -> Result<ChainUpdate, StoreError> {
    let chain = tx.device_chain(device)?;
    let update = follow_records(chain.as_ref(), audit, report, |chain, sequence| {
        tx.device_record_digest(device, chain, sequence)
    })?;
    if let Some(chain) = &update.chain {
        tx.set_device_chain(device, chain)?;
        tx.add_device_records(device, &update.new)?;
    }
    if let Some(fact) = update.fact.clone() {
        tracing::warn!(%device, ?fact, "fault in the device's records");
        tx.record(device, report.now, fact)?;
    }
    Ok(update)
}

/// Why a report is not answered.
#[derive(Debug, thiserror::Error)]
enum PostureError {
    /// The control plane refuses it.
    #[error(transparent)]
    Refused(#[from] ReportError),
    /// The control plane failed.
    #[error(transparent)]
    Failed(#[from] IssueError),
}

impl From<StoreError> for PostureError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

#[cfg(test)]
mod lease_pcrs_tests;
#[cfg(test)]
mod tests;
