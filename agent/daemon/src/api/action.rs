//! Protected actions, for every workload that may open the socket: `POST /v1/actions`,
//! `GET /v1/actions/{session}`, `POST /v1/actions/{session}/approval` and `…/confirmation`.

use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use pawl_local_api::{ActionRequest, ActionStatus, ApprovalRequest, ConfirmationRequest};
use pawl_proto::Text;

use super::Api;
use super::answer::{self, Answer};
use super::peer::Peer;
use crate::action::{self, ActionError, Asking, Owner, Step};
use crate::approval;
use crate::problem::problem;

impl Api {
    /// `POST /v1/actions`
    pub(super) async fn begin_action(&self, peer: Peer, body: Bytes) -> Answer {
        let begun = async {
            let request: ActionRequest = answer::read(&body)?;
            let asking = Asking::new(request, peer.workload())
                .ok_or_else(|| Answer::bad_request("the digest must be 64 hexadecimal digits"))?;
            let begun = action::begin(&self.shared, owner(peer)?, asking).await;
            begun.map_err(|error| refused(&error))
        };
        match begun.await {
            // The action is over: there is no session to query.
            Ok(ActionStatus { problem: Some(problem), .. }) => Answer::forbidden(&problem),
            Ok(status) => answer_of(&status),
            Err(answer) => answer,
        }
    }

    /// Handles the calls for one session. `path` is the part after `/v1/actions/`.
    pub(super) async fn action(&self, peer: Peer, method: &Method, path: &str, body: Bytes) -> Answer {
        let followed = async {
            let (session, call) = path.split_once('/').unwrap_or((path, ""));
            let session = session.parse().map_err(|_| refused(&ActionError::Unknown))?;
            let step = match (method, call) {
                (&Method::GET, "") => Step::Look,
                (&Method::POST, "approval") => approval(body).await?,
                (&Method::POST, "confirmation") => confirmation(body).await?,
                _ => return Err(Answer::not_found(method, &format!("/v1/actions/{path}"))),
            };
            let followed = action::follow(&self.shared, owner(peer)?, session, step).await;
            followed.map_err(|error| refused(&error))
        };
        followed.await.map_or_else(|answer| answer, |status| answer_of(&status))
    }
}

fn owner(peer: Peer) -> Result<Owner, Answer> {
    peer.user().map(Owner).ok_or_else(|| {
        let remedy = "call from a process of this host";
        Answer::forbidden(&problem("not-permitted", "the kernel does not identify the caller", remedy))
    })
}

async fn approval(body: Bytes) -> Result<Step, Answer> {
    let request: ApprovalRequest = answer::read(&body)?;
    let approval = approval::given(&request).map_err(|error| Answer::bad_request(error.to_string()))?;
    Ok(Step::Approval(approval))
}

async fn confirmation(body: Bytes) -> Result<Step, Answer> {
    let request: ConfirmationRequest = answer::read(&body)?;
    let code = Text::new(request.code);
    code.map(Step::Confirmation).map_err(|error| Answer::bad_request(format!("the confirmation: {error}")))
}

fn answer_of(status: &ActionStatus) -> Answer {
    let has_ended = status.assurance.is_some() || status.problem.is_some();
    Answer::json(if has_ended { StatusCode::OK } else { StatusCode::ACCEPTED }, status)
}

fn refused(error: &ActionError) -> Answer {
    let problem = error.problem();
    match error {
        ActionError::Unknown => Answer::json(StatusCode::NOT_FOUND, &problem),
        ActionError::Crowded => Answer::json(StatusCode::TOO_MANY_REQUESTS, &problem),
        ActionError::Tpm(_) | ActionError::Stopping => Answer::unavailable(&problem),
        error if error.is_transient() => Answer::unavailable(&problem),
        _ => Answer::forbidden(&problem),
    }
}
