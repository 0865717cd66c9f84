//! From the proof that a session is its TPM's to the approval.

use std::sync::Arc;

use pawl_proto::codec::Version;
use pawl_proto::message::{
    Access, ApprovalStep, Known, PairingApproved, PairingRequest, RefusalCode, SessionProof, ShortText,
    Statement, Waiting,
};
use pawl_proto::{DeviceId, SessionId};

use super::approval;
use super::case::{Case, Posture};
use super::claim::{Enrolment, check_enrolled, check_replaced};
use super::offer::Offered;
use super::policy::{Policy, policy};
use super::showing::Showing;
use super::{known, proof};
use crate::control_plane::ControlPlane;
use crate::entitlement;
use crate::http::Network;
use crate::incident;
use crate::posture::Quoted;
use crate::record::Fact;
use crate::refusal::{Refusal, RequestError};
use crate::session::{self, Opening, Step, boot_digest};
use crate::store::{Purpose, Session, SessionState, StoreError, Tx};

/// How far a pairing's session is.
#[derive(Debug)]
pub enum Progress {
    /// Somebody has yet to approve.
    Waiting(Box<Waiting>),
    /// It may be proven.
    Approved(Box<PairingApproved>),
}

/// Opens a session if the proof holds. What opened it once asks afterwards how it stands. A proof of a
/// stranger, who did not open the offer's credential, writes nothing; one that a device's own TPM made counts against
/// that device's limit, since its refusal is recorded.
///
/// # Errors
/// [`RequestError::Refused`] in words that a technician understands.
pub async fn open(
    plane: &Arc<ControlPlane>,
    id: SessionId,
    proof: SessionProof,
    from: Network,
) -> Result<Progress, RequestError> {
    let now = plane.clock.now();
    let found = plane
        .store
        .transaction(move |tx| {
            session::sweep(tx, now)?;
            tx.session(id)
        })
        .await?;
    if found.is_some() {
        let step =
            ApprovalStep { version: Version, secret: proof.secret, approval: None, confirmation: None };
        return self::step(plane, id, step).await;
    }
    let offered = Offered::of_proof(plane, id, &proof)?;
    let device = offered.claim.device;
    if !plane.sessions.admit(device, plane.clock.monotonic_ms()) {
        tracing::debug!(%device, "too many pairing sessions");
        let message = "this device has opened too many sessions; try again in a minute";
        return Err(Refusal::new(RefusalCode::Busy, message).into());
    }
    let result = prove(plane, offered, &proof, from).await;
    if let Err(RequestError::Refused(refusal)) = &result {
        tracing::warn!(%device, code = %refusal.code, message = %refusal.message, "pairing refused");
        let refusal = refusal.clone();
        plane.store.transaction(move |tx| record_refusal(tx, id, device, refusal, now)).await?;
    }
    result
}

/// Takes a step of the device: an approval, a confirmation, or neither.
///
/// # Errors
/// [`RequestError::Refused`] in words that a technician understands.
pub async fn step(
    plane: &Arc<ControlPlane>,
    id: SessionId,
    given: ApprovalStep,
) -> Result<Progress, RequestError> {
    let plane_in_tx = Arc::clone(plane);
    let progress = plane
        .store
        .transaction(move |tx| {
            let step = session::step(&plane_in_tx, tx, Purpose::Pairing, id, &given)?;
            progress(&plane_in_tx, tx, step, given.secret.as_bytes())
        })
        .await?;
    // An approval may have ordered the end of a pairing.
    plane.outbox.wake();
    Ok(progress?)
}

fn progress(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    step: Step,
    secret: &[u8],
) -> Result<Result<Progress, Refusal>, RequestError> {
    Ok(Ok(match step {
        Step::Waiting(session) => Progress::Waiting(Box::new(waiting(plane, tx, &session, secret)?)),
        Step::Approved { session, just_now: true } => {
            Progress::Approved(Box::new(approval::carry_out(plane, tx, session)?))
        }
        Step::Approved { session, just_now: false } => {
            let approved = Case::of(&session)?.approved.ok_or(StoreError::Malformed("session"))?;
            Progress::Approved(Box::new(approved.answer))
        }
        Step::Refused(refusal) => return Ok(Err(refusal)),
    }))
}

fn waiting(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    session: &Session,
    secret: &[u8],
) -> Result<Waiting, RequestError> {
    let (_, statement) = session.asked()?;
    let known: Known = known(tx, session.device, statement.replaces)?;
    session::waiting(plane, tx, session, secret, known)
}

async fn prove(
    plane: &Arc<ControlPlane>,
    offered: Offered,
    proof: &SessionProof,
    from: Network,
) -> Result<Progress, RequestError> {
    let (quoted, quote) = proof::check_session(&offered, proof)?;
    let Offered { id, request, claim, vendor_check, nonce } = offered;
    let (lease_pcrs, boot) = proof::remember_boot(plane, claim.device, &quoted.evidence, &quote).await?;
    let showing = Showing::new(plane, claim, (quoted, quote), lease_pcrs)?;
    let (asked, now) = (request.clone(), plane.clock.now());
    let showing = plane
        .store
        .transaction(move |tx| {
            incident::asked(tx, &asked, now)?;
            showing.keep(tx, now)?;
            Ok::<_, StoreError>(showing)
        })
        .await?;
    let (plane_in_tx, secret) = (Arc::clone(plane), proof.secret.clone());
    let progress = plane
        .store
        .transaction(move |tx| {
            let plane = &plane_in_tx;
            if tx.session(id)?.is_some() {
                return Err(RequestError::from(session::stale()));
            }
            // Again, since all this may have changed after the offer was made.
            let claim = &showing.claim;
            let enrolment = check_enrolled(plane, tx, claim, &vendor_check, request.replaces)?;
            check_replaced(tx, claim.device, request.replaces)?;
            let posture = showing.appraise(plane, tx, boot)?;
            let policy = policy(&plane.config.approvals, tx, claim.device, request.replaces)?;
            check_attended(plane, &request, policy)?;
            let granted = entitlement::prospective(plane, tx, claim.device, request.replaces)?;
            let endorsement = vendor_check.describe(enrolment);
            let case = Case::new(request, endorsement, vendor_check.anchor(), nonce);
            let statement = statement(plane, id, &case, policy, (&showing.quoted, &posture), granted);
            let case = Case { posture: Some(posture), ..case };
            let opening = Opening {
                purpose: Purpose::Pairing,
                stranger: (enrolment == Enrolment::ByApproval).then(|| from.to_string()),
                statement,
                needed: policy.needed,
                secret: secret.as_bytes(),
                body: case.encode()?,
            };
            let session = session::open(&plane.config.limits, tx, opening)?;
            let step = match session.state {
                SessionState::Approved => Step::Approved { session, just_now: true },
                _ => Step::Waiting(session),
            };
            Ok(progress(plane, tx, step, secret.as_bytes())??)
        })
        .await?;
    plane.outbox.wake();
    Ok(progress)
}

/// Where persons must approve, somebody is there to be asked, and there is somebody who may.
fn check_attended(plane: &ControlPlane, request: &PairingRequest, policy: Policy) -> Result<(), Refusal> {
    if policy.needed == 0 {
        return Ok(());
    }
    if !request.attended {
        let message = "a person must approve this pairing";
        return Err(Refusal::new(RefusalCode::ApprovalRequired, message));
    }
    session::signers(plane).map(drop)
}

fn statement(
    plane: &ControlPlane,
    session: SessionId,
    case: &Case,
    policy: Policy,
    (quoted, posture): (&Quoted, &Posture),
    granted: Access,
) -> Statement {
    let now = plane.clock.now();
    let request = &case.request;
    Statement {
        version: Version,
        session,
        device: request.device,
        nonce: request.nonce,
        origin: request.origin.clone(),
        action: ShortText::lossy(policy.action),
        resource: None,
        subject: None,
        context: None,
        reason: request.reason.clone(),
        scopes: request.scopes.clone(),
        audiences: request.audiences.clone(),
        granted: Some(granted),
        replaces: request.replaces,
        endorsement: Some(ShortText::lossy(&case.endorsement)),
        epoch: request.epoch,
        evidence: quoted.digest,
        boot: boot_digest(&posture.boot),
        time: now,
        expires: now + u64::from(plane.config.approvals.seconds),
    }
}

/// Records why a device that has shown who it is got no session.
fn record_refusal(
    tx: &Tx<'_>,
    session: SessionId,
    device: DeviceId,
    refusal: Refusal,
    now: u64,
) -> Result<(), StoreError> {
    let Some(device) = tx.device(device)? else { return Ok(()) };
    incident::turned_away(tx, device.id, &refusal, now)?;
    let fact = Fact::Refused {
        code: refusal.code.to_string(),
        message: refusal.message,
        session: Some(session.to_string()),
        action: None,
    };
    tx.record(device.id, now, fact)
}
