//! What the device does in a session: ask, bring an approval, bring a confirmation.

use pawl_proto::SessionId;
use pawl_proto::message::ApprovalStep;
use pawl_verifier::Refusal;
use pawl_verifier::session::{
    self, ApprovalChange, ApprovalSession, Purpose, SessionState, StepAnswer, StepContext, over, stale,
};

use super::end::{store, sweep};
use super::open::{record_approval, reported};
use super::signers;
use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;
use crate::store::Tx;

/// How a session stands after a step of its device. The transaction is to be committed in each
/// case: failed attempts are counted.
pub(crate) enum Step {
    /// Persons still have to approve.
    Waiting(ApprovalSession),
    /// It is approved.
    Approved {
        /// The session.
        session: ApprovalSession,
        /// By this very step: what follows from the approval is to be done in this transaction.
        just_now: bool,
    },
    /// The step does not count, or the session is over.
    Refused(Refusal),
}

/// Takes a step of the device that showed the session's secret. Without approval and confirmation
/// it only asks.
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
        // The file of approvers is read only where an approval is to be checked.
        (None, None) => Err(stale()),
        _ => signers(plane),
    };
    let context = StepContext {
        approvals: &tx.approvals(id)?,
        signers: signers.as_ref(),
        reported: reported(tx, session.device)?,
        now,
    };
    let outcome = session::step(Some(&session), purpose, given, context)?;
    match outcome.approval {
        Some(ApprovalChange::Put(approval)) => tx.put_approval(id, &approval)?,
        Some(ApprovalChange::Remove(key)) => tx.remove_approval(id, key)?,
        None => {}
    }
    let session = match outcome.session {
        Some(change) => store(tx, change, now)?,
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

/// Returns the approved session with this secret, to be used once.
pub(crate) fn approved(
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
