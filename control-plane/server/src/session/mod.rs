//! Approval sessions in the database: the server's half of `pawl_verifier::session`. Each function loads state, calls the
//! verifier and stores what changed, in the caller's transaction.

mod approver;
mod step;

use std::path::Path;

use pawl_approval::AllowedSigners;
use pawl_proto::DeviceId;
use pawl_proto::codec::Version;
use pawl_proto::message::{Approval, RefusalCode, ShortText, Statement, StatementContext, Waiting};
use pawl_verifier::Refusal;
use pawl_verifier::record::Fact;
use pawl_verifier::session::{
    self, ApprovalSession, Opening, Purpose, Strangers, admit_action, free_code, no_free_code, user_code,
};
#[cfg(test)]
use pawl_verifier::session::{Binding, Refused};

use crate::config::LimitsConfig;
use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;
use crate::store::{StoreError, Tx};
use step::{prune, record_fact, supersede};

pub use approver::{ApprovedElsewhere, ApproverError, approve, decline, session_of_code};
pub(crate) use step::{Step, approved_session, decline_all, refuse_proof, spend, step, sweep};

/// Opens a proven session: it waits for approvals, or is approved if none is needed.
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
        load_strangers(limits, tx, statement, address)?.admit()?;
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
    record_fact(tx, &session, now, fact)?;
    if session.needed > 0 {
        return Ok(session);
    }
    let session = session::approve(session, now);
    tx.put_session(&session)?;
    record_approval(tx, &session, now)?;
    Ok(session)
}

/// Records that a session is approved.
fn record_approval(tx: &Tx<'_>, session: &ApprovalSession, now: u64) -> Result<(), StoreError> {
    record_fact(tx, session, now, approved_fact(tx, session)?)?;
    tracing::info!(session = %session.id, device = %session.device, persons = session.needed, "approved");
    Ok(())
}

/// Returns the record of an approval, with all that is needed to verify it again.
pub(crate) fn approved_fact(tx: &Tx<'_>, session: &ApprovalSession) -> Result<Fact, StoreError> {
    Ok(session::approved_fact(session, &tx.approvals(session.id)?)?)
}

fn load_strangers(
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
fn reported_boot_digest(tx: &Tx<'_>, device: DeviceId) -> Result<Option<pawl_proto::Digest>, StoreError> {
    Ok(tx.reported_state(device)?.map(|state| pawl_verifier::boot_digest(&state)))
}

/// Seconds after which a device requests the session's state again.
const RETRY_SECONDS: u32 = 2;
/// Path of the page with the instructions for approvers.
pub(crate) const APPROVE_PATH: &str = "/approve";

/// Builds the answer to the device while approvals are missing. `secret` is the session's, which the device has sent.
pub(crate) fn waiting_message(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    session: &ApprovalSession,
    secret: &[u8],
    known: StatementContext,
) -> Result<Waiting, RequestError> {
    let (statement, _) = session.asked()?;
    let attempt = session.code.as_ref().ok_or(StoreError::Malformed("code"))?.attempt;
    let approvals = tx.approvals(session.id)?;
    let counting = approvals.iter().filter_map(|approval| approval.granted());
    let unconfirmed = approvals.iter().filter(|approval| approval.confirmation.is_some()).count();
    let left = session.expires.saturating_sub(plane.clock.now());
    Ok(Waiting {
        version: Version,
        statement: statement.clone(),
        approval: Approval {
            user_code: ShortText::lossy(&user_code(secret, attempt).to_string()),
            url: ShortText::lossy(&plane.config.url.join(APPROVE_PATH)),
        },
        needed: session.needed,
        approved: counting.map(|approval| approval.principal).collect(),
        unconfirmed: u8::try_from(unconfirmed).unwrap_or(u8::MAX),
        tries_left: session.tries_left(),
        expires_in: u32::try_from(left).unwrap_or(u32::MAX),
        retry_after: RETRY_SECONDS,
        known,
    })
}

/// Reads the list of approvers. It is read for each approval, within the transaction that depends on it: a person who
/// was removed from the list can approve nothing more. The file is short and local.
///
/// # Errors
/// A refusal that names what the operator must configure.
pub(crate) fn load_signers(plane: &ControlPlane) -> Result<AllowedSigners, Refusal> {
    match &plane.config.approvals.allowed_signers {
        Some(path) => read_signers(path),
        None => Err(no_approvers("the operator must set approvals.allowed_signers to a file of approvers")),
    }
}

fn read_signers(path: &Path) -> Result<AllowedSigners, Refusal> {
    let signers = AllowedSigners::load(path).map_err(|error| {
        tracing::error!(file = %path.display(), %error, "cannot read approvals.allowed_signers: nobody can approve");
        no_approvers("the control plane cannot read its list of approvers; see its log")
    })?;
    if signers.is_empty() {
        return Err(no_approvers("the operator's list of approvers, approvals.allowed_signers, is empty"));
    }
    Ok(signers)
}

fn no_approvers(why: &str) -> Refusal {
    Refusal::new(
        RefusalCode::NoApprovers,
        format_args!("a person must approve, but no approver is available: {why}"),
    )
}

#[cfg(test)]
mod tests;
