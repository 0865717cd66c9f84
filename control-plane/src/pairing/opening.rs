//! From the proof that a session is its TPM's to the approval.

use std::sync::Arc;

use pawl_evidence::attest::VerifiedQuote;
use pawl_proto::SessionId;
use pawl_proto::codec::Version;
use pawl_proto::message::{
    Appraisal, ApprovalStep, Known, PairingApproved, RefusalCode, SessionProof, ShortText, Statement, Waiting,
};

use super::approval;
use super::case::{Case, Posture};
use super::claim::{Claim, check_enrolled, check_replaced};
use super::policy::{Policy, policy};
use super::{known, proof};
use crate::control_plane::ControlPlane;
use crate::posture::{self, Quoted};
use crate::record::Fact;
use crate::refusal::{Refusal, RequestError};
use crate::session::{self, Opening, Step, boot_digest};
use crate::store::{AcceptedState, BootState, HighWater, Purpose, Session, SessionState, StoreError, Tx};

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
        let fact = session::shows(&offered, proof.secret.as_bytes()).then(|| refused(&offered, refusal));
        plane.store.transaction(move |tx| forget(tx, &offered, fact, now)).await?;
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
    let boot = proof::remember_boot(plane, claim.device, &quote).await?;
    let (plane_in_tx, secret) = (Arc::clone(plane), proof.secret.clone());
    let progress = plane
        .store
        .transaction(move |tx| {
            let plane = &plane_in_tx;
            if tx.session(offered.id)?.is_none_or(|session| session.state != SessionState::Offered) {
                return Err(RequestError::from(session::stale()));
            }
            // Again, since all this may have changed after the offer was made.
            check_enrolled(plane, tx, &claim, case.request.replaces)?;
            check_replaced(tx, claim.device, case.request.replaces)?;
            let posture = appraise(plane, tx, &claim, &quoted, &quote, boot)?;
            let policy = policy(&plane.config.approvals, tx, claim.device, case.request.replaces)?;
            check_attended(plane, &case, policy)?;
            let statement = statement(plane, &offered, &case, policy, &quoted, &posture);
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

/// Judges what the device runs, so that an approver sees it. The boot state of a device that has
/// none accepted is held against itself: its first pairing will accept it.
fn appraise(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    claim: &Claim,
    quoted: &Quoted,
    quote: &VerifiedQuote,
    boot: BootState,
) -> Result<Posture, RequestError> {
    /// A report may overtake this request on its way: so far may its clock be ahead, milliseconds.
    /// The proof of the keys is held to the whole.
    const OVERTAKEN: u64 = 60_000;

    let highest = tx
        .high_water(claim.attestation_key.name().as_bytes())?
        .map(|highest| HighWater { clock: highest.clock.saturating_sub(OVERTAKEN), ..highest });
    let (epoch, clock) = (claim.epoch, quote.clock());
    let seen = HighWater { epoch, reset_count: clock.reset_count, clock: clock.clock_ms };
    if highest.is_some_and(|highest| seen < highest) {
        return Err(proof::went_backwards().into());
    }
    let complete = posture::Complete::new(&quoted.evidence, quoted.digest, None, quote.pcrs())
        .map_err(|error| Refusal::new(RefusalCode::Proof, error))?;
    let mut accepted = tx.boot_states(claim.device)?;
    if accepted.is_empty() {
        accepted.push(AcceptedState { name: "the first pairing".to_owned(), pcrs: boot.clone() });
    }
    let judgement = posture::judge(plane, quote, &complete, epoch, accepted, highest);
    if judgement.result == Appraisal::Contraindicated {
        return Err(Refusal::new(RefusalCode::Posture, judgement.reasons.join("; ")).into());
    }
    Ok(Posture { result: judgement.result, reasons: judgement.reasons, boot })
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
    quoted: &Quoted,
    posture: &Posture,
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
        replaces: request.replaces,
        epoch: request.epoch,
        evidence: quoted.digest,
        boot: boot_digest(&posture.boot),
        time: now,
        expires: now + u64::from(plane.config.approvals.seconds),
    }
}

fn refused(offered: &Session, refusal: &Refusal) -> Fact {
    Fact::Refused {
        code: refusal.code.to_string(),
        message: refusal.message.clone(),
        session: Some(offered.id.to_string()),
        action: None,
    }
}

/// Forgets an offer that came to nothing.
fn forget(tx: &Tx<'_>, offered: &Session, fact: Option<Fact>, now: u64) -> Result<(), StoreError> {
    tx.remove_offer(offered.id)?;
    match fact {
        Some(fact) if tx.device(offered.device)?.is_some() => tx.record(offered.device, now, fact),
        _ => Ok(()),
    }
}
