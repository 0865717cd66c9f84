//! Protected actions: a workload requests one, the control plane allows it, and the TPM signs once.
//!
//! The sessions of actions live in the open gate. When the gate closes they are dropped, and an assurance that the TPM signs
//! meanwhile is discarded. Nothing polls: the daemon queries the control plane when the workload asks.

mod asking;
mod assurance;
mod error;
mod session;
mod table;
mod turns;

use std::sync::Arc;

use pawl_local_api::ActionStatus;
use pawl_proto::SessionId;
use tokio::sync::Mutex;

use crate::shared::Shared;
use session::Session;

pub(crate) use asking::Asking;
pub(crate) use error::ActionError;
pub(crate) use session::Step;
pub(crate) use table::{Acting, Actions, Owner};

/// Requests an action from the control plane. If the policy allows it at once, the answer has the assurance.
///
/// # Errors
/// [`ActionError`], most often the problem of the closed gate.
pub(crate) async fn begin(
    shared: &Arc<Shared>,
    owner: Owner,
    asking: Asking,
) -> Result<ActionStatus, ActionError> {
    let queued = shared.gate.with_actions(|actions| actions.turns.queue(owner))?;
    let turn = queued.turn().await.map_err(|_| ActionError::Stopping)?;
    shared.gate.with_actions(|actions| actions.sessions.check_room(owner))??;
    let task = Arc::clone(shared);
    let session = detached(async move {
        let (signer, acting) = task.gate.acting()?;
        let jws = asking.sign(&task, &signer, &acting.record).await?;
        let offer = task.control_plane.request_action(jws).await?;
        let id = offer.session;
        let session = Arc::new(Mutex::new(Session::new(&task, &acting, asking, offer)?));
        task.gate.with_actions(|actions| actions.sessions.put(owner, id, Arc::clone(&session)))?;
        drop(turn);
        Ok(session)
    })
    .await?;
    match advance(shared, owner, Arc::clone(&session), Step::Look).await {
        // The caller gets the session, and queries it later.
        Err(error) if error.is_transient() => Ok(session.lock().await.status()),
        answer => answer,
    }
}

/// Queries a session, or submits an approval or confirmation. The outcome is given once.
///
/// # Errors
/// [`ActionError`]. The session continues if the control plane is only unreachable.
pub(crate) async fn follow(
    shared: &Arc<Shared>,
    owner: Owner,
    id: SessionId,
    step: Step,
) -> Result<ActionStatus, ActionError> {
    let session = shared.gate.with_actions(|actions| actions.sessions.find(owner, id))??;
    advance(shared, owner, session, step).await
}

async fn advance(
    shared: &Arc<Shared>,
    owner: Owner,
    session: Arc<Mutex<Session>>,
    step: Step,
) -> Result<ActionStatus, ActionError> {
    let task = Arc::clone(shared);
    let mut session = session.lock_owned().await;
    let status = detached(async move {
        session.step(&task, step).await?;
        Ok(session.status())
    })
    .await?;
    // A wipe in between closed the gate, and another pairing may have opened it again: then this session no longer exists.
    shared.gate.with_actions(|actions| {
        let found = actions.sessions.find(owner, status.id).map(drop);
        if status.assurance.is_some() || status.problem.is_some() {
            actions.sessions.remove(status.id);
        }
        found
    })??;
    Ok(status)
}

/// Runs to its end even if the caller disconnects: a session must not stop half way between the control plane and the TPM.
/// Each detached task holds a turn or a session's lock, which bounds their number.
async fn detached<T: Send + 'static>(
    task: impl Future<Output = Result<T, ActionError>> + Send + 'static,
) -> Result<T, ActionError> {
    tokio::spawn(task).await.unwrap_or(Err(ActionError::Stopping))
}
