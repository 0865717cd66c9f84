use pawl_proto::message::{RefusalCode, Statement, StatementBytes};
use pawl_proto::{DeviceId, Digest};

use super::end::{prune, record, supersede, sweep};
use super::{USE_WITHIN, code};
use crate::config::LimitsConfig;
use crate::record::{ApprovedBy, Fact};
use crate::refusal::{Refusal, RequestError};
use crate::store::{Purpose, Session, SessionState, StoreError, Tx, Wrong};

/// So many sessions of unknown devices wait at once: few enough that an operator's list still shows
/// those of known ones.
const UNKNOWN: usize = 64;
/// So many sessions for actions are open at once on one device.
const ACTIONS: usize = 16;

/// What a session is to be, once its device has proven itself.
pub(crate) struct Opening<'a> {
    /// For what.
    pub(crate) purpose: Purpose,
    /// What is to be approved; it names the session and the device, and when the session is over.
    pub(crate) statement: Statement,
    /// How many persons must approve.
    pub(crate) needed: u8,
    /// What the device shows with each step.
    pub(crate) secret: &'a [u8],
    /// Where it asks from, if nobody enrolled it: its approval would.
    pub(crate) stranger: Option<String>,
    /// What its purpose keeps with it.
    pub(crate) body: Vec<u8>,
}

/// Opens a proven session: it waits for persons, or is approved where none is needed.
pub(crate) fn open(
    limits: &LimitsConfig,
    tx: &Tx<'_>,
    opening: Opening<'_>,
) -> Result<Session, RequestError> {
    let Opening { purpose, statement, needed, secret, stranger, body } = opening;
    let (id, now) = (statement.session, statement.time);
    sweep(tx, now)?;
    prune(tx, now)?;
    match purpose {
        Purpose::Pairing => supersede(tx, statement.device, purpose, id, now)?,
        Purpose::Action => make_room(tx, statement.device)?,
    }
    if let Some(address) = &stranger {
        check_unknown(limits, tx, &statement, address)?;
    }
    let code = match needed {
        0 => None,
        _ => Some(code::free(tx, secret)?.ok_or_else(|| busy("too many sessions wait for an approval"))?),
    };
    let bytes = StatementBytes::of(&statement)?;
    let session = Session {
        id,
        purpose,
        device: statement.device,
        state: SessionState::Waiting,
        opened_at: now,
        expires: statement.expires,
        secret: Digest::of(secret),
        statement: Some(bytes.clone()),
        needed,
        code,
        wrong: Wrong::default(),
        refusals: Vec::new(),
        outcome: None,
        stranger,
        body,
    };
    tx.put_session(&session)?;
    let fact = Fact::SessionOpened {
        session: id.to_string(),
        action: statement.action.as_str().to_owned(),
        origin: statement.origin.as_str().to_owned(),
        reason: statement.reason.as_str().to_owned(),
        statement: bytes.digest().to_string(),
        needed,
    };
    record(tx, &session, now, fact)?;
    if needed == 0 { Ok(approve(tx, session, now)?) } else { Ok(session) }
}

/// Marks a session as approved: from here on it may be used, once.
pub(super) fn approve(tx: &Tx<'_>, mut session: Session, now: u64) -> Result<Session, StoreError> {
    session.state = SessionState::Approved;
    session.expires = now + USE_WITHIN;
    tx.put_session(&session)?;
    record(tx, &session, now, approved_fact(tx, &session)?)?;
    tracing::info!(session = %session.id, device = %session.device, persons = session.needed, "approved");
    Ok(session)
}

/// The record of an approval, with all that it takes to check it again.
pub(crate) fn approved_fact(tx: &Tx<'_>, session: &Session) -> Result<Fact, StoreError> {
    let (bytes, statement) = session.asked()?;
    let approvals = tx.approvals(session.id)?;
    let counting = approvals.iter().filter(|approval| approval.confirmation.is_none());
    let by = counting.map(|approval| ApprovedBy {
        principal: approval.approver.principal.to_string(),
        key: approval.approver.key.to_string(),
        time: approval.given_at,
        signature: String::from_utf8_lossy(approval.signature.as_bytes()).into_owned(),
    });
    Ok(Fact::Approved {
        session: session.id.to_string(),
        action: statement.action.as_str().to_owned(),
        origin: statement.origin.as_str().to_owned(),
        statement: hex::encode(bytes.0.as_bytes()),
        by: by.collect(),
    })
}

/// Anybody with a TPM may ask to take a known device's place. They must not fill the operator's list,
/// and must not keep out the one whom the operator waits for.
fn check_unknown(
    limits: &LimitsConfig,
    tx: &Tx<'_>,
    asked: &Statement,
    address: &str,
) -> Result<(), RequestError> {
    let waiting = tx.waiting_strangers()?;
    let (mut of_device, mut of_address) = (0, 0);
    for session in &waiting {
        of_device += usize::from(session.asked()?.1.replaces == asked.replaces);
        of_address += usize::from(session.stranger.as_deref() == Some(address));
    }
    if waiting.len() < UNKNOWN
        && of_device < limits.unknown_per_device
        && of_address < limits.unknown_per_address
    {
        return Ok(());
    }
    Err(busy(
        "too many devices that nobody enrolled wait to take another one's place; enrol this one with \
         pawl-control-plane enrol --ek-sha256 HEX (see pawlctl status), or try again in ten minutes",
    )
    .into())
}

fn make_room(tx: &Tx<'_>, device: DeviceId) -> Result<(), RequestError> {
    if tx.open_sessions(device, Purpose::Action)?.len() >= ACTIONS {
        return Err(busy("too many actions of this device wait; end some of them or try again later").into());
    }
    Ok(())
}

fn busy(message: &str) -> Refusal {
    Refusal::new(RefusalCode::Busy, message)
}
