//! Protected actions: a workload names one, the control plane lets it, and the TPM signs once.
//!
//! A session of an action lives in an open gate and nowhere else: when the gate closes, what waits
//! here is gone, and what the TPM signs meanwhile is given to nobody. Nothing polls: the control
//! plane is asked when the workload asks.

mod asking;
mod assurance;
mod error;
mod session;
mod table;
mod turns;

use std::sync::Arc;

use pawl_proto::SessionId;
use pawl_proto::local::ActionStatus;
use tokio::sync::Mutex;

use crate::shared::Shared;
use session::Session;

pub(crate) use asking::Asking;
pub(crate) use error::ActionError;
pub(crate) use session::Step;
pub(crate) use table::{Acting, Actions, Owner};

/// Asks the control plane for an action; where its policy lets it at once, the answer has the
/// assurance.
///
/// # Errors
/// [`ActionError`]; above all the gate's problem.
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
        // The caller learns of the session, and comes back.
        Err(error) if error.is_transient() => Ok(session.lock().await.status()),
        answer => answer,
    }
}

/// Follows a session, or hands something in. What is over is told once.
///
/// # Errors
/// [`ActionError`]; the session goes on where the control plane is only out of reach.
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
    // A wipe in between has closed the gate, and perhaps another pairing has opened it: then this
    // session is nobody's any more.
    shared.gate.with_actions(|actions| {
        let found = actions.sessions.find(owner, status.id).map(drop);
        if status.assurance.is_some() || status.problem.is_some() {
            actions.sessions.remove(status.id);
        }
        found
    })??;
    Ok(status)
}

/// Runs to its end also when the caller goes away: a session must not be left half way between the
/// control plane and the TPM. What is detached holds a turn or a session's lock, so that there are
/// never many.
async fn detached<T: Send + 'static>(
    task: impl Future<Output = Result<T, ActionError>> + Send + 'static,
) -> Result<T, ActionError> {
    tokio::spawn(task).await.unwrap_or(Err(ActionError::Stopping))
}
