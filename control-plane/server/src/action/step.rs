use std::sync::Arc;

use pawl_proto::SessionId;
use pawl_proto::codec::Version;
use pawl_proto::message::{ActionApproved, ApprovalStep, Known, ShortText, Waiting};

use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;
use crate::session::{self, Step};
use crate::store::{Device, StoreError, Tx};
use pawl_verifier::Refusal;
use pawl_verifier::session::{ApprovalSession, Purpose};

/// How an action stands after a step of its device.
#[derive(Debug)]
pub enum Progress {
    /// Somebody has yet to approve.
    Waiting(Waiting),
    /// It will be authorized, once.
    Approved(ActionApproved),
}

/// Takes a step of the device: a question, an approval or a confirmation.
///
/// # Errors
/// [`RequestError::Refused`] when the step does not count, or the session is over.
pub async fn step(
    plane: &Arc<ControlPlane>,
    id: SessionId,
    given: ApprovalStep,
) -> Result<Progress, RequestError> {
    let plane_in_tx = Arc::clone(plane);
    // A refusal is counted, so it is committed like any other answer.
    let answer: Result<Progress, Refusal> = plane
        .store
        .transaction(move |tx| {
            let plane = &plane_in_tx;
            match session::step(plane, tx, Purpose::Action, id, &given)? {
                Step::Waiting(session) => {
                    let device = tx.device(session.device)?;
                    let known = device.as_ref().map(known).unwrap_or_default();
                    let waiting = session::waiting(plane, tx, &session, given.secret.as_bytes(), known)?;
                    Ok::<_, RequestError>(Ok(Progress::Waiting(waiting)))
                }
                Step::Approved { session, .. } => Ok(Ok(Progress::Approved(approved_message(tx, &session)?))),
                Step::Refused(refusal) => Ok(Err(refusal)),
            }
        })
        .await?;
    Ok(answer?)
}

/// What an approver is told of the device. An action ends no pairing.
pub(super) fn known(device: &Device) -> Known {
    Known { label: device.label.as_deref().map(ShortText::lossy), ends: None, replaced: None }
}

pub(super) fn approved_message(tx: &Tx<'_>, session: &ApprovalSession) -> Result<ActionApproved, StoreError> {
    let (statement, _) = session.asked()?;
    let approvals = tx.approvals(session.id)?;
    Ok(ActionApproved {
        version: Version,
        statement: statement.clone(),
        approvals: approvals.iter().filter_map(|approval| approval.granted()).collect(),
    })
}
