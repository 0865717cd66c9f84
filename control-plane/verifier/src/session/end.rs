use pawl_proto::message::RefusalCode;

use super::binding::Refused;
use super::state::{ApprovalSession, SessionState, TRIES, over};
use crate::record::Fact;
use crate::refusal::Refusal;

/// The number of failed attempts that are kept and recorded of a session.
const REFUSALS: usize = 20;

/// The kind of a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// A user code.
    Code,
    /// A confirmation.
    Confirmation,
    /// An approval.
    Approval,
}

/// A session that changed. The caller stores it and records the facts, in this order.
#[derive(Clone, Debug)]
pub struct SessionChange {
    /// The session now.
    pub session: ApprovalSession,
    /// The records.
    pub facts: Vec<Fact>,
    /// The session is removed instead of stored: nobody enrolled its device and nobody looked at it. Kept, the sessions of
    /// a flood would push others out of the operator's list.
    pub is_removed: bool,
}

/// Ends a session in this state.
#[must_use]
pub fn end(mut session: ApprovalSession, state: SessionState, reason: &str) -> SessionChange {
    session.state = state;
    session.outcome = Some(reason.to_owned());
    let how = match state {
        SessionState::Expired => "expired",
        SessionState::Superseded => "superseded",
        _ => "declined",
    };
    let fact =
        Fact::SessionOver { session: session.id.to_string(), how: how.to_owned(), reason: reason.to_owned() };
    let is_removed = session.stranger.is_some() && state != SessionState::Declined;
    SessionChange { session, facts: vec![fact], is_removed }
}

/// Ends a session whose time is over.
#[must_use]
pub fn expire(session: ApprovalSession) -> SessionChange {
    let reason = match session.state {
        SessionState::Approved => "it was approved and not used in time",
        _ => "it was not approved in time",
    };
    end(session, SessionState::Expired, reason)
}

/// Marks an approved session as used.
#[must_use]
pub fn spend(session: ApprovalSession) -> ApprovalSession {
    ApprovalSession { state: SessionState::Spent, ..session }
}

/// Keeps an attempt that did not count: for the operator and for the record.
#[must_use]
pub fn note(mut session: ApprovalSession, refused: Refused) -> SessionChange {
    let mut facts = Vec::new();
    // A device that goes on sending what does not count fills no disk.
    if session.refusals.len() < REFUSALS {
        let Refused { binding, detail, key, .. } = refused.clone();
        session.refusals.push(refused);
        facts.push(Fact::ApprovalRefused { session: session.id.to_string(), binding, detail, key });
    }
    SessionChange { session, facts, is_removed: false }
}

/// Counts and keeps a failed attempt, and ends the session after too many. The device gets the refusal only, without the
/// reason.
#[must_use]
pub fn refuse(mut session: ApprovalSession, refused: Refused, attempt: Attempt) -> (SessionChange, Refusal) {
    let count = match attempt {
        Attempt::Code => &mut session.failed.codes,
        Attempt::Confirmation => &mut session.failed.confirmations,
        Attempt::Approval => &mut session.failed.approvals,
    };
    *count = count.saturating_add(1);
    let noted = note(session, refused);
    if noted.session.tries_left() > 0 {
        let message = "approval rejected; the operator can see the reason with: pawl-control-plane sessions";
        return (noted, Refusal::new(RefusalCode::ApprovalRefused, message));
    }
    let mut ended = end(noted.session, SessionState::Declined, "too many failed attempts");
    ended.facts.splice(0..0, noted.facts);
    let refusal = over(&ended.session);
    (ended, refusal)
}

/// Counts a proof of an approved pairing that did not hold. The caller tells and records what it failed on.
#[must_use]
pub fn refuse_proof(mut session: ApprovalSession) -> SessionChange {
    session.failed.proofs = session.failed.proofs.saturating_add(1);
    if session.failed.proofs < TRIES {
        return SessionChange { session, facts: Vec::new(), is_removed: false };
    }
    end(session, SessionState::Declined, "too many proofs of it were refused")
}
