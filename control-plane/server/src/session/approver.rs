//! Approvers who are not at the device: they look up a request by its code, approve it or decline it.

use std::convert::Infallible;
use std::sync::Arc;

use pawl_approval::{CodeError, Confirmation, UserCode};
use pawl_proto::message::GivenApproval;
use pawl_proto::{Digest, SessionId};
use rand_core::RngCore as _;

use pawl_verifier::session::{
    ApprovalSession, Attempt, Binding, Refused, SessionState, StepContext, approve_elsewhere, end, refuse,
};

use super::load_signers;
use super::reported_boot_digest;
use super::step::{store_change, sweep};
use crate::control_plane::ControlPlane;
use crate::store::{StoreError, Tx};
use pawl_verifier::Refusal;

/// An approval that was given on another device. It counts once the confirmation is entered at the device.
pub struct ApprovedElsewhere {
    /// The session.
    pub session: ApprovalSession,
    /// The confirmation that the person at the device must enter.
    pub confirmation: Confirmation,
}

/// Returns the waiting session whose device shows this code.
///
/// # Errors
/// [`ApproverError`]; a wrong code is counted as a failed attempt.
pub async fn session_of_code(
    plane: &Arc<ControlPlane>,
    code: &str,
) -> Result<ApprovalSession, ApproverError> {
    let code: UserCode = code.parse()?;
    let now = plane.clock.now();
    plane.store.transaction(move |tx| find_session(tx, &code, now)).await?
}

/// Approves the session whose device shows this code.
///
/// # Errors
/// [`ApproverError`] names the binding that failed; a refused approval is counted as a failed attempt.
pub async fn approve(
    plane: &Arc<ControlPlane>,
    code: &str,
    given: GivenApproval,
) -> Result<ApprovedElsewhere, ApproverError> {
    let code: UserCode = code.parse()?;
    let mut random = plane.random.clone();
    let Ok(confirmation) = Confirmation::generate(|bytes| {
        random.fill_bytes(bytes);
        Ok::<_, Infallible>(())
    });
    let now = plane.clock.now();
    let plane_in_tx = Arc::clone(plane);
    plane
        .store
        .transaction(move |tx| {
            let signers = match load_signers(&plane_in_tx) {
                Ok(signers) => signers,
                Err(nobody) => return Ok(Err(ApproverError::NoApprovers(nobody))),
            };
            let session = match find_session(tx, &code, now)? {
                Ok(session) => session,
                Err(error) => return Ok(Err(error)),
            };
            let context = StepContext {
                approvals: &tx.approvals(session.id)?,
                signers: Ok(&signers),
                reported: reported_boot_digest(tx, session.device)?,
                now,
            };
            let digest = Digest(confirmation.digest());
            let approval = match approve_elsewhere(&session, given, digest, &signers, context)? {
                Ok(approval) => approval,
                Err((change, refused)) => {
                    let left = store_change(tx, change, now)?.tries_left();
                    return Ok(Err(ApproverError::Refused { refused, left }));
                }
            };
            tracing::info!(session = %session.id, principal = %approval.approver.principal, "approved elsewhere");
            tx.put_approval(session.id, &approval)?;
            Ok::<_, StoreError>(Ok(ApprovedElsewhere { session, confirmation }))
        })
        .await?
}

/// Ends a session that is not approved yet.
///
/// # Errors
/// [`ApproverError::NotOpen`]
pub async fn decline(
    plane: &Arc<ControlPlane>,
    id: SessionId,
    reason: String,
) -> Result<ApprovalSession, ApproverError> {
    let now = plane.clock.now();
    plane
        .store
        .transaction(move |tx| {
            sweep(tx, now)?;
            let session = tx.session(id)?.filter(|session| session.state == SessionState::Waiting);
            let session = session.ok_or(ApproverError::NotOpen)?;
            Ok(store_change(tx, end(session, SessionState::Declined, &reason), now)?)
        })
        .await
}

/// Returns the waiting session of this code. The lookup uses only the code's handle, so that wrong secret letters are
/// counted against the session that they were meant for.
fn find_session(
    tx: &Tx<'_>,
    code: &UserCode,
    now: u64,
) -> Result<Result<ApprovalSession, ApproverError>, StoreError> {
    sweep(tx, now)?;
    let Some(session) = tx.session_of_code(code.handle())? else {
        return Ok(Err(ApproverError::UnknownCode));
    };
    let right = session.code.as_ref().is_some_and(|row| code.matches(row.digest.as_bytes()));
    if right {
        return Ok(Ok(session));
    }
    let detail = "a wrong code was entered for it".to_owned();
    let refused = Refused { time: now, binding: Binding::Code, detail, key: None };
    let (change, _) = refuse(session, refused, Attempt::Code);
    Ok(Err(ApproverError::WrongCode { left: store_change(tx, change, now)?.tries_left() }))
}

/// Why an approver's command failed.
#[derive(Debug, thiserror::Error)]
pub enum ApproverError {
    /// The text is not a code.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// No waiting session has a code with this handle.
    #[error("no open session has this code: compare it with the device's screen, or ask for a new one there")]
    UnknownCode,
    /// The secret letters are wrong.
    #[error("the code is wrong; {left} more tries, then the session is over")]
    WrongCode {
        /// Remaining tries.
        left: u8,
    },
    /// The approval is not valid.
    #[error("refused ({}): {}; {left} more tries, then the session is over", .refused.binding, .refused.detail)]
    Refused {
        /// What failed.
        refused: Refused,
        /// Remaining tries.
        left: u8,
    },
    /// There is no such session, or it is no longer waiting.
    #[error("no such session waits for an approval; `pawl-control-plane sessions` lists them")]
    NotOpen,
    /// There are no approvers.
    #[error("{}", .0.message)]
    NoApprovers(Refusal),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
