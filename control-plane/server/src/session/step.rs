//! What the device does in a session: ask, bring an approval, bring a confirmation.

use pawl_approval::{AllowedSigners, Confirmation};
use pawl_proto::message::{ApprovalStep, GivenApproval, RefusalCode};
use pawl_proto::{Digest, SessionId, Text};
use subtle::ConstantTimeEq as _;

use super::binding::{Binding, Refused};
use super::end::{Wrong, note, refuse, sweep};
use super::open::approve;
use super::{check, signers};
use crate::control_plane::ControlPlane;
use crate::refusal::{Refusal, RequestError};
use crate::store::{ApprovalRow, Purpose, Session, SessionState, StoreError, Tx};

/// How a session stands after a step of its device. The transaction is to be committed in each
/// case: what did not count is counted.
pub(crate) enum Step {
    /// Somebody has yet to approve.
    Waiting(Session),
    /// It is approved.
    Approved {
        /// The session.
        session: Session,
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
    let session = tx.session(id)?.filter(|session| session.purpose == purpose);
    let Some(mut session) = session.filter(|session| shows(session, given.secret.as_bytes())) else {
        return Ok(Step::Refused(stale()));
    };
    match session.state {
        SessionState::Waiting => {}
        SessionState::Approved => return Ok(Step::Approved { session, just_now: false }),
        SessionState::Spent | SessionState::Declined | SessionState::Expired | SessionState::Superseded => {
            if given.approval.is_some() || given.confirmation.is_some() {
                let refused = too_late(session.state, now);
                note(tx, &mut session, refused)?;
            }
            return Ok(Step::Refused(over(&session)));
        }
    }
    if given.approval.is_none() && given.confirmation.is_none() {
        return Ok(Step::Waiting(session));
    }
    let signers = match signers(plane) {
        Ok(signers) => signers,
        Err(nobody) => return Ok(Step::Refused(nobody)),
    };
    let (outcome, wrong) = match (&given.approval, &given.confirmation) {
        (Some(approval), _) => (given_here(tx, &session, approval, &signers, now)?, Wrong::Approval),
        (None, typed) => {
            let typed = typed.as_ref().map(Text::as_str).unwrap_or_default();
            (confirmed(tx, &session, typed, &signers, now)?, Wrong::Confirmation)
        }
    };
    if let Err(refused) = outcome {
        return Ok(Step::Refused(refuse(tx, &mut session, refused, wrong)?));
    }
    let approvals = tx.approvals(id)?;
    let counting = approvals.iter().filter(|approval| approval.confirmation.is_none());
    if counting.count() < usize::from(session.needed) {
        return Ok(Step::Waiting(session));
    }
    Ok(Step::Approved { session: approve(tx, session, now)?, just_now: true })
}

/// An approval that was given at the device itself: it counts at once.
fn given_here(
    tx: &Tx<'_>,
    session: &Session,
    given: &GivenApproval,
    signers: &AllowedSigners,
    now: u64,
) -> Result<Result<(), Refused>, StoreError> {
    let earlier = tx.approvals(session.id)?;
    let approver = match check::approval(tx, session, given, signers, &earlier, now)? {
        Ok(approver) => approver,
        Err(refused) => return Ok(Err(refused)),
    };
    let signature = given.signature.clone();
    let approval = ApprovalRow { approver, given_at: now, signature, elsewhere: false, confirmation: None };
    tx.put_approval(session.id, &approval)?;
    Ok(Ok(()))
}

/// The confirmation of an approval from elsewhere. The approval is checked again: it counts now.
fn confirmed(
    tx: &Tx<'_>,
    session: &Session,
    typed: &str,
    signers: &AllowedSigners,
    now: u64,
) -> Result<Result<(), Refused>, StoreError> {
    let refused = |detail: String| Refused { time: now, binding: Binding::Confirmation, detail, key: None };
    let typed: Confirmation = match typed.parse() {
        Ok(typed) => typed,
        Err(error) => return Ok(Err(refused(error.to_string()))),
    };
    let (of, earlier): (Vec<_>, Vec<_>) = tx
        .approvals(session.id)?
        .into_iter()
        .partition(|approval| approval.confirmation.is_some_and(|digest| typed.matches(digest.as_bytes())));
    let Some(approval) = of.into_iter().next() else {
        return Ok(Err(refused("it is not that of an approval that waits for one".to_owned())));
    };
    let (statement, _) = session.asked()?;
    let given = GivenApproval { statement: statement.clone(), signature: approval.signature.clone() };
    if let Err(refused) = check::approval(tx, session, &given, signers, &earlier, now)? {
        tx.remove_approval(session.id, approval.approver.key)?;
        return Ok(Err(refused));
    }
    tx.put_approval(session.id, &ApprovalRow { confirmation: None, ..approval })?;
    Ok(Ok(()))
}

/// The approved session whose secret this is, to be used once.
pub(crate) fn approved(
    tx: &Tx<'_>,
    purpose: Purpose,
    id: SessionId,
    secret: &[u8],
    now: u64,
) -> Result<Session, RequestError> {
    sweep(tx, now)?;
    let session = tx.session(id)?.filter(|session| session.purpose == purpose && shows(session, secret));
    match session {
        Some(session) if session.state == SessionState::Approved => Ok(session),
        Some(session) => Err(over(&session).into()),
        None => Err(stale().into()),
    }
}

/// Whether this is the secret of the session.
fn shows(session: &Session, secret: &[u8]) -> bool {
    Digest::of(secret).as_bytes().ct_eq(session.secret.as_bytes()).into()
}

/// There is no such session, or not for who asks.
pub(crate) fn stale() -> Refusal {
    Refusal::new(RefusalCode::Stale, "this session is unknown or over; start again")
}

/// Why a session cannot be gone on with.
pub(crate) fn over(session: &Session) -> Refusal {
    match (session.state, &session.outcome) {
        (SessionState::Declined, Some(reason)) => {
            Refusal::new(RefusalCode::Declined, format_args!("the session was declined: {reason}"))
        }
        (SessionState::Superseded, _) => {
            Refusal::new(RefusalCode::Stale, "a newer session of this device took the place of this one")
        }
        (SessionState::Expired, _) => {
            Refusal::new(RefusalCode::Stale, "this session's time is over; start again")
        }
        _ => stale(),
    }
}

fn too_late(state: SessionState, now: u64) -> Refused {
    let (binding, detail) = match state {
        SessionState::Spent => (Binding::Used, "the session was used"),
        SessionState::Expired => (Binding::Expired, "the session's time was over"),
        SessionState::Superseded => (Binding::Session, "a newer session had taken the place of this one"),
        _ => (Binding::Session, "the session had been declined"),
    };
    Refused { time: now, binding, detail: detail.to_owned(), key: None }
}
