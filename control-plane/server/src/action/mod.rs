//! Protected actions: a workload requests one, policy or persons approve it, and the device's TPM signs for it once.
//!
//! The control plane writes the JWS that the TPM signs, with the action and its approvals, and authorizes one signature
//! in one TPM policy session. The result, an assurance, can be verified by anybody with the fleet authority's
//! certificate ([`pawl_evidence::assurance`]), or here: the control plane also checks that the pairing is live and that
//! the assurance has not been used.

mod ask;
mod assurance;
mod authorize;

use std::num::NonZeroU16;
use std::sync::Arc;

use pawl_proto::SessionId;
use pawl_proto::codec::Version;
use pawl_proto::message::{ActionApproved, ApprovalStep, ShortText, StatementContext, Waiting};
use pawl_verifier::Refusal;
use pawl_verifier::session::{ApprovalSession, Purpose};

use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;
use crate::session::{self, Step};
use crate::store::{Device, StoreError, Tx};

pub use ask::ask;
pub use assurance::{Outcome, Question, Reason, verify};
pub use authorize::authorize;

/// Path of the requests for actions; devices sign it.
pub const PATH: &str = "/v1/actions";

/// Seconds from the start of a TPM policy session to the end of its authorization.
const AUTHORIZATION: NonZeroU16 = match NonZeroU16::new(60) {
    Some(seconds) => seconds,
    None => NonZeroU16::MIN,
};
/// Largest accepted difference of clocks, in seconds.
const LEEWAY: u64 = 60;

/// State of an action's session after a step of the device.
#[derive(Debug)]
pub enum Progress {
    /// Approvals are missing.
    Waiting(Waiting),
    /// It is approved and can be authorized once.
    Approved(ActionApproved),
}

/// Takes an approval or a confirmation from the device, or reports the session.
///
/// # Errors
/// [`RequestError::Refused`] when the approval or confirmation is not valid, or the session is over.
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
                    let known = device.as_ref().map(describe_device).unwrap_or_default();
                    let waiting =
                        session::waiting_message(plane, tx, &session, given.secret.as_bytes(), known)?;
                    Ok::<_, RequestError>(Ok(Progress::Waiting(waiting)))
                }
                Step::Approved { session, .. } => Ok(Ok(Progress::Approved(approved_message(tx, &session)?))),
                Step::Refused(refusal) => Ok(Err(refusal)),
            }
        })
        .await?;
    Ok(answer?)
}

/// Returns the facts about the device that approvers see. An action ends no pairing.
fn describe_device(device: &Device) -> StatementContext {
    StatementContext { label: device.label.as_deref().map(ShortText::lossy), ends: None, replaced: None }
}

fn approved_message(tx: &Tx<'_>, session: &ApprovalSession) -> Result<ActionApproved, StoreError> {
    let (statement, _) = session.asked()?;
    let approvals = tx.approvals(session.id)?;
    Ok(ActionApproved {
        version: Version,
        statement: statement.clone(),
        approvals: approvals.iter().filter_map(|approval| approval.granted()).collect(),
    })
}

#[cfg(test)]
mod tests;
