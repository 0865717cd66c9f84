//! From the proof that a session is its TPM's to the approval.

use std::sync::Arc;

use pawl_proto::SessionId;
use pawl_proto::codec::Version;
use pawl_proto::message::{
    Access, ApprovalStep, Known, PairingApproved, RefusalCode, SessionProof, ShortText, Statement, Waiting,
};

use super::approval;
use super::case::{Case, Posture};
use super::claim::{check_enrolled, check_replaced};
use super::policy::{Policy, policy};
use super::showing::Showing;
use super::{known, proof};
use crate::control_plane::ControlPlane;
use crate::entitlement;
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

/// Opens a session if the proof holds. An offer is good for one try; what opened it once asks
/// afterwards how it stands.
///
/// # Errors
/// [`RequestError::Refused`] in words that a technician understands.
pub async fn open(
    plane: &Arc<ControlPlane>,
    id: SessionId,
    proof: SessionProof,
) -> Result<Progress, RequestError> {
    let now = plane.clock.now();
    let found = plane
        .store
        .transaction(move |tx| {
            session::sweep(tx, now)?;
            tx.session(id)
        })
        .await?;
    let unproven = |session: &Session| session.state == SessionState::Offered && now < session.expires;
    let Some(offered) = found.filter(unproven) else {
        let step =
            ApprovalStep { version: Version, secret: proof.secret, approval: None, confirmation: None };
        return self::step(plane, id, step).await;
    };
    let result = prove(plane, offered.clone(), &proof).await;
    if let Err(RequestError::Refused(refusal)) = &result {
        tracing::warn!(device = %offered.device, code = %refusal.code, message = %refusal.message, "pairing refused");
        // A stranger who knows the device's public keys writes nothing into its records.
        let shown = session::shows(&offered, proof.secret.as_bytes()).then(|| refusal.clone());
        plane.store.transaction(move |tx| forget(tx, &offered, shown, now)).await?;
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
    offered: Session,
    proof: &SessionProof,
) -> Result<Progress, RequestError> {
    let case = Case::of(&offered)?;
    let claim = case.claim()?;
    let (quoted, quote) = proof::check_session(&offered, &case, &claim, proof)?;
    let (lease_pcrs, boot) = proof::remember_boot(plane, claim.device, &quoted.evidence, &quote).await?;
    let showing = Showing::new(plane, claim, (quoted, quote), lease_pcrs)?;
    let (asked, now) = (case.request.clone(), plane.clock.now());
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
            if tx.session(offered.id)?.is_none_or(|session| session.state != SessionState::Offered) {
                return Err(RequestError::from(session::stale()));
            }
            // Again, since all this may have changed after the offer was made.
            let claim = &showing.claim;
            check_enrolled(plane, tx, claim, &case.vendor_check(plane), case.request.replaces)?;
            check_replaced(tx, claim.device, case.request.replaces)?;
            let posture = showing.appraise(plane, tx, boot)?;
            let policy = policy(&plane.config.approvals, tx, claim.device, case.request.replaces)?;
            check_attended(plane, &case, policy)?;
            let granted = entitlement::prospective(plane, tx, claim.device, case.request.replaces)?;
            let statement = statement(plane, &offered, &case, policy, (&showing.quoted, &posture), granted);
            let case = Case { posture: Some(posture), ..case };
            let opening = Opening {
                purpose: Purpose::Pairing,
                statement,
                needed: policy.needed,
                secret: secret.as_bytes(),
                body: case.encode()?,
            };
            let session = session::open(tx, opening)?;
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
fn check_attended(plane: &ControlPlane, case: &Case, policy: Policy) -> Result<(), Refusal> {
    if policy.needed == 0 {
        return Ok(());
    }
    if !case.request.attended {
        let message = "a person must approve this pairing";
        return Err(Refusal::new(RefusalCode::ApprovalRequired, message));
    }
    session::signers(plane).map(drop)
}

fn statement(
    plane: &ControlPlane,
    offered: &Session,
    case: &Case,
    policy: Policy,
    (quoted, posture): (&Quoted, &Posture),
    granted: Access,
) -> Statement {
    let now = plane.clock.now();
    let request = &case.request;
    Statement {
        version: Version,
        session: offered.id,
        device: offered.device,
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

/// Forgets an offer that came to nothing, and records why, where the device has shown who it is.
fn forget(tx: &Tx<'_>, offered: &Session, shown: Option<Refusal>, now: u64) -> Result<(), StoreError> {
    tx.remove_offer(offered.id)?;
    let (Some(refusal), Some(device)) = (shown, tx.device(offered.device)?) else { return Ok(()) };
    incident::turned_away(tx, device.id, &refusal, now)?;
    let fact = Fact::Refused {
        code: refusal.code.to_string(),
        message: refusal.message,
        session: Some(offered.id.to_string()),
        action: None,
    };
    tx.record(device.id, now, fact)
}
