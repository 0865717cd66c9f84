//! How sessions end, and what is stored of failed attempts.

use pawl_proto::{DeviceId, SessionId};
use pawl_verifier::record::Fact;
use pawl_verifier::session::{self, ApprovalSession, Purpose, SessionChange, SessionState};

use crate::store::{StoreError, Tx};

/// Seconds for which a session that is over is kept, for people: the records tell the rest.
const KEPT: u64 = 30 * 86_400;
/// How many of them at most.
const KEPT_AT_MOST: usize = 1000;

/// Stores a session that changed, records the facts, and returns the session.
pub(super) fn store(tx: &Tx<'_>, change: SessionChange, now: u64) -> Result<ApprovalSession, StoreError> {
    let SessionChange { session, facts, is_removed } = change;
    if is_removed {
        tx.remove_session(session.id)?;
    } else {
        tx.put_session(&session)?;
    }
    for fact in facts {
        log(&session, &fact);
        record(tx, &session, now, fact)?;
    }
    Ok(session)
}

fn log(session: &ApprovalSession, fact: &Fact) {
    let (id, device) = (session.id, session.device);
    match fact {
        Fact::SessionOver { how, reason, .. } => {
            tracing::info!(session = %id, %device, how, reason, "a session is over");
        }
        Fact::ApprovalRefused { binding, detail, key, .. } => {
            tracing::warn!(session = %id, %device, %binding, detail, key, "an approval is refused");
        }
        _ => {}
    }
}

/// Ends the sessions that were not approved, or not used, in time. Every transaction on sessions begins with it.
pub(crate) fn sweep(tx: &Tx<'_>, now: u64) -> Result<(), StoreError> {
    for session in tx.overdue_sessions(now)? {
        store(tx, session::expire(session), now)?;
    }
    Ok(())
}

/// Removes what has been over for long.
pub(super) fn prune(tx: &Tx<'_>, now: u64) -> Result<(), StoreError> {
    tx.prune_sessions(now.saturating_sub(KEPT), KEPT_AT_MOST)
}

/// Ends every open session of a device.
pub(crate) fn decline_all(tx: &Tx<'_>, device: DeviceId, reason: &str, now: u64) -> Result<(), StoreError> {
    for purpose in [Purpose::Pairing, Purpose::Action] {
        for session in tx.open_sessions(device, purpose)? {
            store(tx, session::end(session, SessionState::Declined, reason), now)?;
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
            store(tx, session::end(session, SessionState::Superseded, &reason), now)?;
        }
    }
    Ok(())
}

/// Uses an approved session up.
pub(crate) fn spend(tx: &Tx<'_>, session: &ApprovalSession) -> Result<(), StoreError> {
    tx.put_session(&session::spend(session.clone()))
}

/// Counts a proof of an approved pairing that did not hold. The caller tells and records what it failed on.
pub(crate) fn refuse_proof(tx: &Tx<'_>, id: SessionId, now: u64) -> Result<(), StoreError> {
    let session = tx.session(id)?.filter(|session| session.state == SessionState::Approved);
    let Some(session) = session else { return Ok(()) };
    store(tx, session::refuse_proof(session), now).map(drop)
}

/// Records a fact in the chain of the session's device. Of a device that nobody enrolled nothing is
/// recorded until a person approves: then it stands in the chain of the device whose place it takes.
/// Otherwise anybody with a TPM could fill that chain.
pub(super) fn record(tx: &Tx<'_>, session: &ApprovalSession, now: u64, fact: Fact) -> Result<(), StoreError> {
    let chain = match tx.device(session.device)? {
        Some(device) => Some(device.id),
        None if matches!(fact, Fact::Approved { .. }) => session.asked()?.1.replaces,
        None => None,
    };
    chain.map_or(Ok(()), |chain| tx.record(chain, now, fact))
}
