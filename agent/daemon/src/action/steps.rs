//! Requests of workloads for an action, and the steps of its session: the daemon queries the control plane, and once the
//! session is approved the TPM signs.
//!
//! For the one signature the TPM opens a policy session, the control plane authorizes one digest in it, the daemon checks what
//! that digest covers, and the TPM signs.

use std::num::NonZeroU16;
use std::sync::Arc;

use pawl_evidence::assurance::SigningInput;
use pawl_local_api::ActionStatus;
use pawl_proto::codec::Version;
use pawl_proto::message::{
    ActionOffer, ActionState, ApprovalStep, AuthorizationRequest, GivenApproval, GrantedApproval,
};
use pawl_proto::record::DeviceFact;
use pawl_proto::{Blob, Digest, SessionId, Text};
use tokio::sync::Mutex;

use super::asking::Asking;
use super::error::ActionError;
use super::session::{Acting, Session};
use super::turns::Owner;
use crate::shared::Shared;
use crate::telemetry::event::SecurityEvent;

/// What the caller submits to a session.
pub(crate) enum Step {
    /// Nothing: a query.
    Look,
    /// An approval that was given at the device.
    Approval(GivenApproval),
    /// The confirmation code that an approver elsewhere was shown.
    Confirmation(Text<32>),
}

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
        let jws = asking
            .sign(&task.tpm, &task.control_plane.actions_url(), task.clock.unix(), &signer, &acting.record)
            .await?;
        let offer = task.control_plane.request_action(jws).await?;
        let id = offer.session;
        let session = Arc::new(Mutex::new(open(&task, &acting, asking, offer)?));
        task.gate.with_actions(|actions| actions.sessions.put(owner, id, Arc::clone(&session)))?;
        drop(turn);
        Ok(session)
    })
    .await?;
    match run(shared, owner, Arc::clone(&session), Step::Look).await {
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
    run(shared, owner, session, step).await
}

async fn run(
    shared: &Arc<Shared>,
    owner: Owner,
    session: Arc<Mutex<Session>>,
    step: Step,
) -> Result<ActionStatus, ActionError> {
    let task = Arc::clone(shared);
    let mut session = session.lock_owned().await;
    let status = detached(async move {
        take_step(&task, &mut session, step).await?;
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

/// Returns the session of an offer, if its statement is over the request.
fn open(
    shared: &Shared,
    acting: &Arc<Acting>,
    asking: Asking,
    offer: ActionOffer,
) -> Result<Session, ActionError> {
    let (mut session, fact) =
        Session::new(acting, asking, offer.session, offer.secret.into_vec(), &offer.state)?;
    record(shared, &session, fact);
    apply(shared, &mut session, offer.state, None)?;
    Ok(session)
}

/// Advances the session as far as it can.
///
/// # Errors
/// If the caller can ask again. Every other error ends the session and is in its status.
async fn take_step(shared: &Shared, session: &mut Session, step: Step) -> Result<(), ActionError> {
    match advance(shared, session, step).await {
        Err(error) if error.is_transient() => Err(error),
        Err(error) => {
            let problem = error.problem();
            SecurityEvent::ACTION_REFUSED.log(
                Some(session.epoch()),
                format_args!(
                    "{:?} was refused in session {}: {}",
                    session.asking.action().as_str(),
                    session.id,
                    problem.reason
                ),
            );
            let code = Text::lossy(&problem.error);
            record(shared, session, DeviceFact::Refused { session: Some(session.id), code });
            session.fail(problem);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

async fn advance(shared: &Shared, session: &mut Session, step: Step) -> Result<(), ActionError> {
    if session.is_waiting() {
        if matches!(step, Step::Look) && !session.may_query() {
            return Ok(());
        }
        submit(shared, session, step).await?;
    }
    if let Some(approvals) = session.approvals() {
        let assurance = assure(shared, session, approvals).await?;
        session.complete(assurance);
    }
    Ok(())
}

async fn submit(shared: &Shared, session: &mut Session, step: Step) -> Result<(), ActionError> {
    let (approval, confirmation) = match step {
        Step::Look => (None, None),
        Step::Approval(approval) => (Some(approval), None),
        Step::Confirmation(code) => (None, Some(code)),
    };
    match ask(shared, session, approval, confirmation).await {
        Ok(state) => apply(shared, session, state, None),
        Err(ActionError::Call(error)) if error.is_rejected_input() => {
            tracing::warn!(session = %session.id, %error, "approval or confirmation rejected");
            let state = ask(shared, session, None, None).await?;
            apply(shared, session, state, Some(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

async fn ask(
    shared: &Shared,
    session: &Session,
    approval: Option<GivenApproval>,
    confirmation: Option<Text<32>>,
) -> Result<ActionState, ActionError> {
    let secret = Blob::new(session.secret.to_vec())?;
    let step = ApprovalStep { version: Version, secret, approval, confirmation };
    Ok(shared.control_plane.step_action(session.id, &step).await?)
}

fn apply(
    shared: &Shared,
    session: &mut Session,
    state: ActionState,
    refused: Option<String>,
) -> Result<(), ActionError> {
    if let Some(fact) = session.apply(state, refused, shared.clock.unix())? {
        record(shared, session, fact);
    }
    Ok(())
}

/// Has the TPM sign the assurance, a compact JWS.
///
/// # Errors
/// [`ActionError`]. The control plane gives one authorization per session: once it has answered there is no second try.
async fn assure(
    shared: &Shared,
    session: &Session,
    approvals: &[GrantedApproval],
) -> Result<String, ActionError> {
    let pairing = &session.acting.record;
    let pending = shared.tpm.begin_action().await?;
    let request = AuthorizationRequest {
        version: Version,
        secret: Blob::new(session.secret.to_vec())?,
        nonce_tpm: Blob::new(pending.nonce_tpm().to_vec())?,
    };
    let authorization = shared.control_plane.authorize_action(session.id, &request).await?;
    let input = SigningInput::parse(authorization.signing_input.as_str())?;
    session.asking.check_claims(input.claims(), pairing, &session.statement, approvals)?;
    let expiration_s = u16::try_from(authorization.expiration)
        .ok()
        .and_then(NonZeroU16::new)
        .ok_or(ActionError::Expiration(authorization.expiration))?;
    let authorization = pawl_tpm::Authorization {
        authority_public: pairing.authorization_key.as_bytes().to_vec(),
        policy_ref: pairing.policy_ref.0,
        expiration_s,
        signature: authorization.signature.0,
    };
    // The gate may have closed since: check it last, before the TPM signs.
    shared.gate.signer()?;
    let signature = shared
        .tpm
        .complete_action(pending, &session.acting.key, pairing.epoch.0, &authorization, input.digest())
        .await?;
    let digest = Digest(input.digest());
    record(
        shared,
        session,
        DeviceFact::Assurance { session: session.id, action: session.asking.action().clone(), digest },
    );
    SecurityEvent::ASSURANCE_MADE.log(
        Some(pairing.epoch),
        format_args!(
            "the TPM has signed for {:?} in session {}",
            session.asking.action().as_str(),
            session.id
        ),
    );
    Ok(input.signed(&signature))
}

fn record(shared: &Shared, session: &Session, fact: DeviceFact) {
    shared.audit.record(Some(session.epoch()), fact);
}
