//! The grant: one transaction spends the session and adds the pairing with its first report and verdict.

use std::sync::Arc;

use pawl_proto::message::{
    Broker, Certificate, PairingGrant, PairingProof, RefusalCode, ShortText, Standing, Verdict,
};
use pawl_proto::signed::OrderKey;
use pawl_proto::{Blob, Digest, Nonce, PairingId, SessionId};
use pawl_verifier::audit::{Occasion, RecordsReport};
use pawl_verifier::incident::{TpmSighting, resolved_by_pairing, weigh};
use pawl_verifier::pairing::{
    AppraisedDevice, ApprovedPairing, Claim, GrantedPairing, Pairing, PairingSession, PairingState,
    PairingStep, ProvenPairing, check_epoch, check_grant_secret, check_pairing, check_time, check_unchanged,
    ek_kind, new_pairing, paired_fact,
};
use pawl_verifier::record::Fact;
use pawl_verifier::session::{ApprovalSession, Purpose, SessionState, over, stale};
use pawl_verifier::{AcceptedState, Refusal};

use super::offer::check_device;
use super::{PairingEvidence, appraise, keep_evidence, load_basis, session_data};
use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;
use crate::store::{NewReport, StoreError, Tx};
use crate::{entitlement, incident, posture, session, verdict};

/// Grants the pairing of an approved session if the proof is valid. A session is granted once; the same proof gets the
/// same grant again while the pairing is live.
///
/// # Errors
/// [`RequestError::Refused`] with a message for the technician.
pub async fn prove(
    plane: &Arc<ControlPlane>,
    id: SessionId,
    proof: PairingProof,
) -> Result<PairingGrant, RequestError> {
    let now = plane.clock.now();
    let digest = Digest::of(&pawl_proto::encode(&proof)?);
    let found = plane.store.transaction(move |tx| find_session(tx, id, digest, now)).await?;
    let open = match found {
        FoundSession::Granted(grant) => return Ok(*grant),
        FoundSession::Approved(open) => open,
    };
    check_grant_secret(open.approved.secret, &proof)?;
    let session = open.session.clone();
    let result = commit_grant(plane, *open, proof, digest).await;
    if let Err(RequestError::Refused(refusal)) = &result {
        let refusal = refusal.clone();
        plane.store.transaction(move |tx| record_refused_proof(tx, session, &refusal, now)).await?;
    }
    result
}

enum FoundSession {
    Approved(Box<ApprovedSession>),
    Granted(Box<PairingGrant>),
}

/// An approved session and its decoded content.
pub(super) struct ApprovedSession {
    pub(super) session: ApprovalSession,
    pub(super) data: PairingSession,
    pub(super) approved: ApprovedPairing,
    pub(super) claim: Claim,
}

fn find_session(tx: &Tx<'_>, id: SessionId, proof: Digest, now: u64) -> Result<FoundSession, RequestError> {
    session::sweep(tx, now)?;
    let session = tx.session(id)?.filter(|session| session.purpose == Purpose::Pairing);
    let session = session.ok_or_else(stale)?;
    let data = session_data(&session)?;
    let over = || RequestError::from(over(&session));
    match session.state {
        SessionState::Approved => {}
        SessionState::Spent => {
            let granted = data.granted.filter(|granted| granted.proof == proof).ok_or_else(over)?;
            let live = tx.pairing(granted.answer.pairing)?;
            live.filter(|pairing| pairing.state == PairingState::Live).ok_or_else(over)?;
            return Ok(FoundSession::Granted(Box::new(granted.answer)));
        }
        _ => return Err(over()),
    }
    let approved = data.approved.clone().ok_or(StoreError::Malformed("session"))?;
    let claim = data.claim()?;
    Ok(FoundSession::Approved(Box::new(ApprovedSession { session, data, approved, claim })))
}

/// Counts and records a refused proof.
fn record_refused_proof(
    tx: &Tx<'_>,
    session: ApprovalSession,
    refusal: &Refusal,
    now: u64,
) -> Result<(), StoreError> {
    let device = session.device;
    tracing::warn!(%device, code = %refusal.code, message = %refusal.message, "pairing refused");
    let fact = Fact::Refused {
        code: refusal.code.to_string(),
        message: refusal.message.clone(),
        session: Some(session.id.to_string()),
        action: None,
    };
    tx.record(device, now, fact)?;
    session::refuse_proof(tx, session.id, now)
}

async fn commit_grant(
    plane: &Arc<ControlPlane>,
    open: ApprovedSession,
    proof: PairingProof,
    digest: Digest,
) -> Result<PairingGrant, RequestError> {
    let keys = plane.keys.signing.policy_keys();
    let proven = check_pairing(open.session.id, &open.claim, &open.approved.answer, &keys, &proof)?;
    let chain = link_chain(plane, &open.claim, &proven, proof.link_request.as_bytes())?;
    let (claim, epoch) = (open.data.claim()?, proven.epoch);
    let (quoted, quote) = (proven.quoted.clone(), proven.quote.clone());
    let evidence = Arc::new(PairingEvidence { claim, epoch, quoted, quote });
    let report_length = proof.report.evidence.as_bytes().len();
    let (_, statement) = open.session.asked()?;
    let of_proof = Arc::new((open, proven, chain));
    loop {
        let (basis, appraised) = appraise(plane, &evidence, PairingStep::Proof).await?;
        check_unchanged(&appraised.boot, statement.boot)?;
        let (plane_in_tx, of_proof) = (Arc::clone(plane), Arc::clone(&of_proof));
        let granted = plane
            .store
            .transaction(move |tx| {
                let (plane, (open, proven, chain)) = (&plane_in_tx, &*of_proof);
                if load_basis(tx, open.claim.device)? != basis {
                    return Ok(None);
                }
                let (verdict, message) = add_pairing(plane, tx, open, proven, &appraised, report_length)?;
                let certificates = chain.certificates.clone();
                let grant = grant_message(plane, open, proven, certificates, (&verdict, message))?;
                tx.set_link_serial(grant.pairing, &chain.serial)?;
                spend_session(tx, open, GrantedPairing { proof: digest, answer: grant.clone() })?;
                Ok::<_, RequestError>(Some((grant, verdict)))
            })
            .await?;
        if let Some((grant, verdict)) = granted {
            tracing::info!(
                device = %grant.device, pairing = %grant.pairing, epoch = %grant.epoch,
                endorsement = %grant.endorsement, verdict = ?verdict.result, "paired"
            );
            return Ok(grant);
        }
    }
}

/// Spends the session, if no other proof has spent it.
fn spend_session(tx: &Tx<'_>, open: &ApprovedSession, granted: GrantedPairing) -> Result<(), RequestError> {
    let session = tx.session(open.session.id)?.filter(|session| session.state == SessionState::Approved);
    let session = session.ok_or_else(stale)?;
    let body = PairingSession { granted: Some(granted), ..open.data.clone() }.encode()?;
    Ok(session::spend(tx, &ApprovalSession { body, ..session })?)
}

/// Adds the pairing and issues its first verdict. Returns the verdict and its signed message.
pub(super) fn add_pairing(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    open: &ApprovedSession,
    proven: &ProvenPairing,
    appraised: &AppraisedDevice,
    report_length: usize,
) -> Result<(Verdict, Vec<u8>), RequestError> {
    let now = plane.clock.now();
    let ApprovedSession { claim, data, approved, session } = open;
    let (device, epoch) = (claim.device, proven.epoch);
    // Checked again: all of it may have changed after the session was approved.
    check_device(plane, tx, claim, &data.vendor_check(plane.vendors.are_required()), None)?;
    let newest = tx.newest_pairing(device)?.map(|pairing| pairing.epoch);
    check_epoch(epoch, newest, approved.answer.above)?;
    begin_history(plane, tx, proven, appraised)?;
    let by_person = !tx.approvals(session.id)?.is_empty();
    incident::resolve(tx, device, resolved_by_pairing(&data.request, by_person), now)?;
    accept_first(plane, tx, open, appraised)?;
    appraised.check_result()?;

    let nonce = Nonce(plane.random.bytes());
    let pairing = new_pairing(session.id, data, claim, proven, approved.answer.policy_ref, nonce, now);
    // The TPM has certified its counter (TPM2_NV_Certify): pairings of earlier epochs are over.
    tx.end_pairings_below(device, epoch, now)?;
    tx.settle_events_below(device, epoch)?;
    tx.add_pairing(&pairing)?;
    tx.set_endorsement(device, ek_kind(claim.template), &data.endorsement)?;
    let report = &appraised.report;
    let evidence = proven.evidence();
    let new_report = NewReport {
        at: now,
        bytes: report_length,
        whole: true,
        host: Some(evidence.host.as_ref().unwrap_or(&data.request.host)),
        health: evidence.health.as_ref(),
    };
    tx.set_boot_log(pairing.id, report.boot_log.as_deref())?;
    tx.store_report(pairing.id, &report.base, new_report)?;
    keep_evidence(tx, device, appraised)?;
    let granted = entitlement::entitlement(plane, tx, &pairing, Standing::Active)?;
    let fact = paired_fact(&pairing, data, claim, &plane.keys.signing.policy_keys(), &granted);
    tx.record(device, now, fact)?;
    first_verdict(plane, tx, open, &pairing, (proven, appraised))
}

/// Sets the history of the TPM to this report, and clears its earlier runs.
fn begin_history(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    proven: &ProvenPairing,
    appraised: &AppraisedDevice,
) -> Result<(), RequestError> {
    let (evidence, time) = (proven.evidence(), appraised.report.time);
    let sighting = TpmSighting { device: evidence.device, time, evidence, now_ms: plane.clock.now_ms() };
    let history = tx.tpm_history(evidence.device)?;
    check_time(history.highest, time)?;
    if let Some(history) = history.begin(&sighting) {
        tx.set_tpm_history(evidence.device, &history)?;
    }
    Ok(())
}

/// Without a policy, accepts the boot state of a device that has no accepted state: the operator who enrolled the
/// device, or the person who approved it, trusts its present state.
fn accept_first(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    open: &ApprovedSession,
    appraised: &AppraisedDevice,
) -> Result<(), RequestError> {
    let (device, now) = (open.claim.device, plane.clock.now());
    if plane.policies.of(device).is_none() && tx.boot_states(device)?.is_empty() {
        let first = AcceptedState::at_first_pairing(appraised.boot.clone(), now);
        tx.accept_boot_state(device, &first)?;
        tx.record(device, now, Fact::accepted(&first.pcrs, &first.name))?;
    }
    Ok(())
}

fn first_verdict(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    open: &ApprovedSession,
    pairing: &Pairing,
    (proven, appraised): (&ProvenPairing, &AppraisedDevice),
) -> Result<(Verdict, Vec<u8>), RequestError> {
    let device = pairing.device;
    let occasion = Occasion::Pairing(open.data.request.finding);
    let report = RecordsReport { pairing: pairing.id, occasion, now: plane.clock.now() };
    let records = posture::store_records(tx, device, proven.evidence().audit.as_ref(), report)?;
    let judgement = appraised.report.judgement.clone();
    let interval = plane.config.report_interval();
    let mut draft = judgement.into_draft(Standing::Active, None, proven.quoted.digest, interval);
    records.weigh(&mut draft);
    weigh(&mut draft, &tx.open_incidents(device)?);
    let (verdict, message) = verdict::issue(plane, tx, pairing, draft)?;
    posture::record_verdict(tx, &verdict, &proven.quoted, records.head)?;
    // The grant carries the verdict to the device, so the outbox need not publish it.
    tx.set_verdict_published(device, verdict.sequence)?;
    Ok((verdict, message))
}

/// The certificates of a link key, leaf first.
pub(super) struct LinkChain {
    pub(super) certificates: Vec<Certificate>,
    /// The leaf's serial number.
    pub(super) serial: Vec<u8>,
}

/// Issues the certificate of a link key that signed the request, and returns it with the authority's.
pub(super) fn link_chain(
    plane: &ControlPlane,
    claim: &Claim,
    proven: &ProvenPairing,
    request: &[u8],
) -> Result<LinkChain, Refusal> {
    let refuse = |error: &dyn std::fmt::Display| Refusal::new(RefusalCode::Proof, error);
    let leaf = plane
        .keys
        .authority
        .link_certificate(claim.device.as_str(), &proven.link_key, request)
        .map_err(|error| refuse(&error))?;
    let chain = [leaf.der.to_vec(), plane.keys.authority.certificate().to_vec()];
    let certificates = chain.into_iter().map(|der| Certificate::new(der).map_err(|error| refuse(&error)));
    Ok(LinkChain { certificates: certificates.collect::<Result<_, _>>()?, serial: leaf.serial })
}

/// Builds the grant for the device.
pub(super) fn grant_message(
    plane: &ControlPlane,
    open: &ApprovedSession,
    proven: &ProvenPairing,
    link_certificates: Vec<Certificate>,
    (verdict, message): (&Verdict, Vec<u8>),
) -> Result<PairingGrant, Refusal> {
    let too_long = |error| Refusal::new(RefusalCode::Malformed, error);
    let authority = plane.keys.authority.certificate().to_vec();
    Ok(PairingGrant {
        version: Default::default(),
        pairing: PairingId::from(open.session.id),
        device: open.claim.device,
        epoch: proven.epoch,
        control_plane: plane.config.name.clone(),
        endorsement: ShortText::lossy(&open.data.endorsement),
        link_certificates,
        broker: Broker {
            host: ShortText::lossy(&plane.config.broker.host),
            port: plane.config.broker.port,
            authority: Certificate::new(authority).map_err(too_long)?,
        },
        scopes: verdict.entitlement.scopes.clone(),
        order_keys: vec![OrderKey::from(&plane.keys.signing.order)],
        verdict: Blob::new(message).map_err(too_long)?,
    })
}
