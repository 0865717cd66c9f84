//! The steps of a session, from its device's approvals and confirmations to its end.

use pawl_proto::message::ApprovalStep;
use pawl_proto::{DeviceId, SessionId};
use pawl_verifier::Refusal;
use pawl_verifier::record::Fact;
use pawl_verifier::session::{
    self, ApprovalChange, ApprovalSession, Purpose, SessionChange, SessionState, StepAnswer, StepContext,
    over, stale,
};

use super::{load_signers, record_approval, reported_boot_digest};
use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;
use crate::store::{StoreError, Tx};

/// State of a session after a step of its device. The caller must commit the transaction in each case: failed attempts are
/// counted.
pub(crate) enum Step {
    /// Approvals are missing.
    Waiting(ApprovalSession),
    /// It is approved.
    Approved {
        /// The session.
        session: ApprovalSession,
        /// Whether this step approved it: the caller must carry the approval out in this transaction.
        just_now: bool,
    },
    /// The approval or confirmation is not valid, or the session is over.
    Refused(Refusal),
}

/// Takes an approval or a confirmation from the device that knows the session's secret. With neither, it reports the
/// session.
pub(crate) fn step(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    purpose: Purpose,
    id: SessionId,
    given: &ApprovalStep,
) -> Result<Step, RequestError> {
    let now = plane.clock.now();
    sweep(tx, now)?;
    let Some(session) = tx.session(id)? else { return Ok(Step::Refused(stale())) };
    let signers = match (&given.approval, &given.confirmation) {
        // The list of approvers is read only if an approval must be verified.
        (None, None) => Err(stale()),
        _ => load_signers(plane),
    };
    let context = StepContext {
        approvals: &tx.approvals(id)?,
        signers: signers.as_ref(),
        reported: reported_boot_digest(tx, session.device)?,
        now,
    };
    let outcome = session::step(Some(&session), purpose, given, context)?;
    match outcome.approval {
        Some(ApprovalChange::Put(approval)) => tx.put_approval(id, &approval)?,
        Some(ApprovalChange::Remove(key)) => tx.remove_approval(id, key)?,
        None => {}
    }
    let session = match outcome.session {
        Some(change) => store_change(tx, change, now)?,
        None => session,
    };
    Ok(match outcome.answer {
        StepAnswer::Waiting => Step::Waiting(session),
        StepAnswer::Approved { just_now } => {
            if just_now {
                record_approval(tx, &session, now)?;
            }
            Step::Approved { session, just_now }
        }
        StepAnswer::Refused(refusal) => Step::Refused(refusal),
    })
}

/// Returns the approved session with this secret.
pub(crate) fn approved_session(
    tx: &Tx<'_>,
    purpose: Purpose,
    id: SessionId,
    secret: &[u8],
    now: u64,
) -> Result<ApprovalSession, RequestError> {
    sweep(tx, now)?;
    let session =
        tx.session(id)?.filter(|session| session.purpose == purpose && session.is_opened_by(secret));
    match session {
        Some(session) if session.state == SessionState::Approved => Ok(session),
        Some(session) => Err(over(&session).into()),
        None => Err(stale().into()),
    }
}

/// Seconds for which a finished session is kept for operators to look at; the audit records stay.
const KEPT_SECONDS: u64 = 30 * 86_400;
/// The most finished sessions that are kept.
const MAX_KEPT: usize = 1000;

/// Stores a changed session, records its facts, and returns the session.
pub(super) fn store_change(
    tx: &Tx<'_>,
    change: SessionChange,
    now: u64,
) -> Result<ApprovalSession, StoreError> {
    let SessionChange { session, facts, is_removed } = change;
    if is_removed {
        tx.remove_session(session.id)?;
    } else {
        tx.put_session(&session)?;
    }
    for fact in facts {
        log_fact(&session, &fact);
        record_fact(tx, &session, now, fact)?;
    }
    Ok(session)
}

fn log_fact(session: &ApprovalSession, fact: &Fact) {
    let (id, device) = (session.id, session.device);
    match fact {
        Fact::SessionOver { how, reason, .. } => {
            tracing::info!(session = %id, %device, how, reason, "session over");
        }
        Fact::ApprovalRefused { binding, detail, key, .. } => {
            tracing::warn!(session = %id, %device, %binding, detail, key, "approval refused");
        }
        _ => {}
    }
}

/// Ends the sessions that were not approved or not spent in time. Every transaction on sessions begins with it.
pub(crate) fn sweep(tx: &Tx<'_>, now: u64) -> Result<(), StoreError> {
    for session in tx.overdue_sessions(now)? {
        store_change(tx, session::expire(session), now)?;
    }
    Ok(())
}

/// Removes old finished sessions.
pub(super) fn prune(tx: &Tx<'_>, now: u64) -> Result<(), StoreError> {
    tx.prune_sessions(now.saturating_sub(KEPT_SECONDS), MAX_KEPT)
}

/// Ends every open session of a device.
pub(crate) fn decline_all(tx: &Tx<'_>, device: DeviceId, reason: &str, now: u64) -> Result<(), StoreError> {
    for purpose in [Purpose::Pairing, Purpose::Action] {
        for session in tx.open_sessions(device, purpose)? {
            store_change(tx, session::end(session, SessionState::Declined, reason), now)?;
        }
    }
    Ok(())
}

/// Ends every open session of a device for this purpose but one.
pub(super) fn supersede(
    tx: &Tx<'_>,
    device: DeviceId,
    purpose: Purpose,
    but: SessionId,
    now: u64,
) -> Result<(), StoreError> {
    for session in tx.open_sessions(device, purpose)? {
        if session.id != but {
            let reason = format!("the device's session {but} superseded it");
            store_change(tx, session::end(session, SessionState::Superseded, &reason), now)?;
        }
    }
    Ok(())
}

/// Marks an approved session as spent.
pub(crate) fn spend(tx: &Tx<'_>, session: &ApprovalSession) -> Result<(), StoreError> {
    tx.put_session(&session::spend(session.clone()))
}

/// Counts a refused proof of an approved pairing. The caller logs and records the reason.
pub(crate) fn refuse_proof(tx: &Tx<'_>, id: SessionId, now: u64) -> Result<(), StoreError> {
    let session = tx.session(id)?.filter(|session| session.state == SessionState::Approved);
    let Some(session) = session else { return Ok(()) };
    store_change(tx, session::refuse_proof(session), now).map(drop)
}

/// Records a fact in the chain of the session's device. For a device that is not enrolled, only an approval is
/// recorded, in the chain of the device that it replaces. Otherwise any TPM could fill that chain.
pub(super) fn record_fact(
    tx: &Tx<'_>,
    session: &ApprovalSession,
    now: u64,
    fact: Fact,
) -> Result<(), StoreError> {
    let chain = match tx.device(session.device)? {
        Some(device) => Some(device.id),
        None if matches!(fact, Fact::Approved { .. }) => session.asked()?.1.replaces,
        None => None,
    };
    chain.map_or(Ok(()), |chain| tx.record(chain, now, fact))
}
