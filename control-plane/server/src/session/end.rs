//! How sessions end, and what is written down of what did not count.

use pawl_proto::message::RefusalCode;
use pawl_proto::{DeviceId, SessionId};

use super::TRIES;
use super::binding::Refused;
use super::waiting::tries_left;
use crate::record::Fact;
use crate::refusal::Refusal;
use crate::store::{Purpose, Session, SessionState, StoreError, Tx};

/// So many things that did not count are shown and recorded of a session.
const REFUSALS: usize = 20;
/// What is over is kept for so many seconds, for people: the records tell the rest.
const KEPT: u64 = 30 * 86_400;
/// And so many at most.
const KEPT_AT_MOST: usize = 1000;

/// What is wrong, of what is counted.
#[derive(Clone, Copy)]
pub(super) enum Wrong {
    Code,
    Confirmation,
    Approval,
}

/// Ends what nobody approved, or used, in time. Every transaction on sessions begins with it.
pub(crate) fn sweep(tx: &Tx<'_>, now: u64) -> Result<(), StoreError> {
    for session in tx.overdue_sessions(now)? {
        let reason = match session.state {
            SessionState::Approved => "it was approved and not used in time",
            _ => "it was not approved in time",
        };
        end(tx, session, SessionState::Expired, reason, now)?;
    }
    Ok(())
}

/// Forgets what has been over for long.
pub(super) fn prune(tx: &Tx<'_>, now: u64) -> Result<(), StoreError> {
    tx.prune_sessions(now.saturating_sub(KEPT), KEPT_AT_MOST)
}

/// Ends every open session of a device.
pub(crate) fn decline_all(tx: &Tx<'_>, device: DeviceId, reason: &str, now: u64) -> Result<(), StoreError> {
    for purpose in [Purpose::Pairing, Purpose::Action] {
        for session in tx.open_sessions(device, purpose)? {
            end(tx, session, SessionState::Declined, reason, now)?;
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
            let reason = format!("the device's session {but} took its place");
            end(tx, session, SessionState::Superseded, &reason, now)?;
        }
    }
    Ok(())
}

pub(super) fn end(
    tx: &Tx<'_>,
    mut session: Session,
    state: SessionState,
    reason: &str,
    now: u64,
) -> Result<Session, StoreError> {
    session.state = state;
    session.outcome = Some(reason.to_owned());
    if session.stranger.is_some() && state != SessionState::Declined {
        // Nobody looked at it. Kept, those of a flood would push others out of the operator's list.
        tx.remove_session(session.id)?;
    } else {
        tx.put_session(&session)?;
    }
    let how = match state {
        SessionState::Expired => "expired",
        SessionState::Superseded => "superseded",
        _ => "declined",
    };
    let (id, how) = (session.id.to_string(), how.to_owned());
    tracing::info!(session = %id, device = %session.device, how, reason, "a session is over");
    record(tx, &session, now, Fact::SessionOver { session: id, how, reason: reason.to_owned() })?;
    Ok(session)
}

/// Uses an approved session up.
pub(crate) fn spend(tx: &Tx<'_>, session: &Session) -> Result<(), StoreError> {
    tx.put_session(&Session { state: SessionState::Spent, ..session.clone() })
}

/// Counts and writes down what did not count. The device is told no more than that.
pub(super) fn refuse(
    tx: &Tx<'_>,
    session: &mut Session,
    refused: Refused,
    wrong: Wrong,
) -> Result<Refusal, StoreError> {
    let count = match wrong {
        Wrong::Code => &mut session.wrong.codes,
        Wrong::Confirmation => &mut session.wrong.confirmations,
        Wrong::Approval => &mut session.wrong.approvals,
    };
    *count = count.saturating_add(1);
    let now = refused.time;
    note(tx, session, refused)?;
    if tries_left(session) > 0 {
        return Ok(Refusal::new(
            RefusalCode::ApprovalRefused,
            "this does not count for this session; its operator can see why: pawl-control-plane sessions",
        ));
    }
    *session = end(tx, session.clone(), SessionState::Declined, "too much that was wrong was given", now)?;
    Ok(super::over(session))
}

/// Counts a proof of an approved pairing that did not hold. What it failed on is told and recorded
/// by the caller.
pub(crate) fn refuse_proof(tx: &Tx<'_>, id: SessionId, now: u64) -> Result<(), StoreError> {
    let session = tx.session(id)?.filter(|session| session.state == SessionState::Approved);
    let Some(mut session) = session else { return Ok(()) };
    session.wrong.proofs = session.wrong.proofs.saturating_add(1);
    if session.wrong.proofs < TRIES {
        return tx.put_session(&session);
    }
    end(tx, session, SessionState::Declined, "too many proofs of it were refused", now).map(drop)
}

/// Writes down what did not count: for who looks at the session, in the record and in the log.
pub(super) fn note(tx: &Tx<'_>, session: &mut Session, refused: Refused) -> Result<(), StoreError> {
    let (id, now) = (session.id.to_string(), refused.time);
    let (binding, detail, key) = (refused.binding, refused.detail.clone(), refused.key.clone());
    tracing::warn!(session = %id, device = %session.device, %binding, detail, key, "an approval is refused");
    // A device that goes on sending what does not count fills no disk.
    if session.refusals.len() < REFUSALS {
        session.refusals.push(refused);
        record(tx, session, now, Fact::ApprovalRefused { session: id, binding, detail, key })?;
    }
    tx.put_session(session)
}

/// Records a fact in the chain of the session's device. Of a device that nobody enrolled nothing is
/// recorded until a person approves: then it stands in the chain of the device whose place it takes.
/// Otherwise anybody with a TPM could fill that chain.
pub(super) fn record(tx: &Tx<'_>, session: &Session, now: u64, fact: Fact) -> Result<(), StoreError> {
    let chain = match tx.device(session.device)? {
        Some(device) => Some(device.id),
        None if matches!(fact, Fact::Approved { .. }) => session.asked()?.1.replaces,
        None => None,
    };
    chain.map_or(Ok(()), |chain| tx.record(chain, now, fact))
}
