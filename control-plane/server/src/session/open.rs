use pawl_proto::DeviceId;
use pawl_proto::message::Statement;
use pawl_verifier::record::Fact;
use pawl_verifier::session::{
    self, ApprovalSession, Opening, Purpose, Strangers, admit_action, free_code, no_free_code,
};

use super::end::{prune, record, supersede, sweep};
use crate::config::LimitsConfig;
use crate::refusal::RequestError;
use crate::store::{StoreError, Tx};

/// Opens a proven session: it waits for persons, or is approved where none is needed.
pub(crate) fn open(
    limits: &LimitsConfig,
    tx: &Tx<'_>,
    opening: Opening<'_>,
) -> Result<ApprovalSession, RequestError> {
    let statement = &opening.statement;
    let (device, id, now) = (statement.device, statement.session, statement.time);
    sweep(tx, now)?;
    prune(tx, now)?;
    match opening.purpose {
        Purpose::Pairing => supersede(tx, device, Purpose::Pairing, id, now)?,
        Purpose::Action => admit_action(tx.open_sessions(device, Purpose::Action)?.len())?,
    }
    if let Some(address) = &opening.stranger {
        strangers(limits, tx, statement, address)?.admit()?;
    }
    let code = match opening.needed {
        0 => None,
        _ => {
            let is_free = |handle: &str| Ok::<_, StoreError>(tx.session_of_code(handle)?.is_none());
            Some(free_code(opening.secret, is_free)?.ok_or_else(no_free_code)?)
        }
    };
    let (session, fact) = opening.open(code)?;
    tx.put_session(&session)?;
    record(tx, &session, now, fact)?;
    if session.needed > 0 {
        return Ok(session);
    }
    let session = session::approve(session, now);
    tx.put_session(&session)?;
    record_approval(tx, &session, now)?;
    Ok(session)
}

/// Records that a session is approved.
pub(super) fn record_approval(tx: &Tx<'_>, session: &ApprovalSession, now: u64) -> Result<(), StoreError> {
    record(tx, session, now, approved_fact(tx, session)?)?;
    tracing::info!(session = %session.id, device = %session.device, persons = session.needed, "approved");
    Ok(())
}

/// Returns the record of an approval, with all that it takes to check it again.
pub(crate) fn approved_fact(tx: &Tx<'_>, session: &ApprovalSession) -> Result<Fact, StoreError> {
    Ok(session::approved_fact(session, &tx.approvals(session.id)?)?)
}

fn strangers(
    limits: &LimitsConfig,
    tx: &Tx<'_>,
    asked: &Statement,
    address: &str,
) -> Result<Strangers, StoreError> {
    let sessions = tx.waiting_strangers()?;
    let (mut of_device, mut of_address): (usize, usize) = (0, 0);
    for session in &sessions {
        of_device += usize::from(session.asked()?.1.replaces == asked.replaces);
        of_address += usize::from(session.stranger.as_deref() == Some(address));
    }
    Ok(Strangers {
        waiting: sessions.len(),
        of_device,
        of_address,
        per_device: limits.unknown_per_device,
        per_address: limits.unknown_per_address,
    })
}

/// Returns the digest of the boot state that a device last reported.
pub(super) fn reported(tx: &Tx<'_>, device: DeviceId) -> Result<Option<pawl_proto::Digest>, StoreError> {
    Ok(tx.reported_state(device)?.map(|state| pawl_verifier::boot_digest(&state)))
}
