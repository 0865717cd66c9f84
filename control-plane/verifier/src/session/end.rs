use pawl_proto::message::RefusalCode;

use super::binding::Refused;
use super::state::{ApprovalSession, SessionState, TRIES, over};
use crate::record::Fact;
use crate::refusal::Refusal;

/// The number of failed attempts to store and record for a session.
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

/// A change of a session. The caller stores the session, then records the facts in their order.
#[derive(Clone, Debug)]
pub struct SessionChange {
    /// The changed session.
    pub session: ApprovalSession,
    /// The records.
    pub facts: Vec<Fact>,
    /// Whether to remove the session instead of storing it: its device is not enrolled, and no person declined it. Otherwise a
    /// flood of such sessions would push others out of the operator's list.
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

/// Ends a session that has expired.
#[must_use]
pub fn expire(session: ApprovalSession) -> SessionChange {
    let reason = match session.state {
        SessionState::Approved => "it was approved but not used in time",
        _ => "it was not approved in time",
    };
    end(session, SessionState::Expired, reason)
}

/// Marks an approved session as used.
#[must_use]
pub fn spend(session: ApprovalSession) -> ApprovalSession {
    ApprovalSession { state: SessionState::Spent, ..session }
}

/// Stores a failed attempt in the session, for the operator, and records it.
#[must_use]
pub fn note(mut session: ApprovalSession, refused: Refused) -> SessionChange {
    let mut facts = Vec::new();
    // A device that sends failing attempts without end must not fill the disk.
    if session.refusals.len() < REFUSALS {
        let Refused { binding, detail, key, .. } = refused.clone();
        session.refusals.push(refused);
        facts.push(Fact::ApprovalRefused { session: session.id.to_string(), binding, detail, key });
    }
    SessionChange { session, facts, is_removed: false }
}

/// Counts and stores a failed attempt, and ends the session after too many. The device gets only the refusal, without the
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

/// Counts a failed proof of an approved pairing. The caller answers the device and records the failure.
#[must_use]
pub fn refuse_proof(mut session: ApprovalSession) -> SessionChange {
    session.failed.proofs = session.failed.proofs.saturating_add(1);
    if session.failed.proofs < TRIES {
        return SessionChange { session, facts: Vec::new(), is_removed: false };
    }
    end(session, SessionState::Declined, "too many failed proofs")
}
