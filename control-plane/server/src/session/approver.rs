//! What an approver does who is not at the device: look at a request, approve it, decline it.

use std::convert::Infallible;
use std::sync::Arc;

use pawl_approval::{CodeError, Confirmation, UserCode};
use pawl_proto::message::GivenApproval;
use pawl_proto::{Digest, SessionId};
use rand_core::RngCore as _;

use pawl_verifier::session::{
    ApprovalSession, Attempt, Binding, Refused, SessionState, StepContext, approve_elsewhere, end, refuse,
};

use super::end::{store, sweep};
use super::open::reported;
use super::signers;
use crate::control_plane::ControlPlane;
use crate::store::{StoreError, Tx};
use pawl_verifier::Refusal;

/// An approval from elsewhere. It counts once the confirmation was typed at the device.
pub struct Given {
    /// The session.
    pub session: ApprovalSession,
    /// What the device wants: to be told to whoever stands there.
    pub confirmation: Confirmation,
}

/// The session whose device shows this code.
///
/// # Errors
/// [`ApproverError`]; a wrong code is counted.
pub async fn request(plane: &Arc<ControlPlane>, code: &str) -> Result<ApprovalSession, ApproverError> {
    let code: UserCode = code.parse()?;
    let now = plane.clock.now();
    plane.store.transaction(move |tx| find(tx, &code, now)).await?
}

/// Approves the session whose device shows this code.
///
/// # Errors
/// [`ApproverError`] says which binding failed; what does not count is counted.
pub async fn approve(
    plane: &Arc<ControlPlane>,
    code: &str,
    given: GivenApproval,
) -> Result<Given, ApproverError> {
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
            let signers = match signers(&plane_in_tx) {
                Ok(signers) => signers,
                Err(nobody) => return Ok(Err(ApproverError::NoApprovers(nobody))),
            };
            let session = match find(tx, &code, now)? {
                Ok(session) => session,
                Err(error) => return Ok(Err(error)),
            };
            let context = StepContext {
                approvals: &tx.approvals(session.id)?,
                signers: Ok(&signers),
                reported: reported(tx, session.device)?,
                now,
            };
            let digest = Digest(confirmation.digest());
            let approval = match approve_elsewhere(&session, given, digest, &signers, context)? {
                Ok(approval) => approval,
                Err((change, refused)) => {
                    let left = store(tx, change, now)?.tries_left();
                    return Ok(Err(ApproverError::Refused { refused, left }));
                }
            };
            tracing::info!(session = %session.id, principal = %approval.approver.principal, "approved elsewhere");
            tx.put_approval(session.id, &approval)?;
            Ok::<_, StoreError>(Ok(Given { session, confirmation }))
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
            Ok(store(tx, end(session, SessionState::Declined, &reason), now)?)
        })
        .await
}

/// The waiting session of this code. The handle alone finds it, so that wrong letters are counted
/// against the session that they were meant for.
fn find(
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
    let detail = "a wrong code was given for it".to_owned();
    let refused = Refused { time: now, binding: Binding::Code, detail, key: None };
    let (change, _) = refuse(session, refused, Attempt::Code);
    Ok(Err(ApproverError::WrongCode { left: store(tx, change, now)?.tries_left() }))
}

/// Why an approver's command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApproverError {
    /// What was typed is no code.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// No session that waits has a code that begins so.
    #[error("no open session has this code: compare it with the device's screen, or ask for a new one there")]
    UnknownCode,
    /// The rest of it is wrong.
    #[error("the code is wrong; {left} more tries, then the session is over")]
    WrongCode {
        /// So many more tries.
        left: u8,
    },
    /// The approval does not count.
    #[error("refused ({}): {}; {left} more tries, then the session is over", .refused.binding, .refused.detail)]
    Refused {
        /// What failed.
        refused: Refused,
        /// So many more tries.
        left: u8,
    },
    /// There is no such session, or it does not wait for an approval any more.
    #[error("no such session waits for an approval; `pawl-control-plane sessions` lists them")]
    NotOpen,
    /// Nobody may approve.
    #[error("{}", .0.message)]
    NoApprovers(Refusal),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
