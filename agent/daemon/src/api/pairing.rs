//! `POST /v1/pair` and `/v1/session`: requests a pairing, and the approval session that decides on it.

use hyper::StatusCode;
use hyper::body::Bytes;
use pawl_local_api::{ApprovalRequest, ConfirmationRequest, PairRequest};
use pawl_proto::Text;
use serde_json::json;
use tokio::sync::oneshot;

use super::Api;
use super::answer::{self, Answer};
use super::peer::Peer;
use crate::device::{Request, SubmitOutcome, Unanswered};
use crate::{approval, problem};

impl Api {
    pub(super) async fn pair(&self, peer: Peer, body: Bytes) -> Answer {
        if let Err(problem) = peer.must_administrate() {
            return Answer::forbidden(&problem);
        }
        let mut request: PairRequest = match answer::read(&body) {
            Ok(request) => request,
            Err(answer) => return answer,
        };
        request.origin = peer.origin(&request.origin);
        match self.ask(|reply| Request::Pair(request, reply)).await {
            Ok(Ok(())) => Answer::json(StatusCode::ACCEPTED, &json!({"state": "pairing"})),
            Ok(Err(problem)) => Answer::conflict(&problem),
            Err(problem) => Answer::unavailable(&problem),
        }
    }

    /// `GET /v1/session`
    pub(super) async fn session(&self, peer: Peer) -> Answer {
        match peer.must_administrate() {
            Ok(()) => self.show_session().await,
            Err(problem) => Answer::forbidden(&problem),
        }
    }

    /// `DELETE /v1/session`
    pub(super) async fn give_up_session(&self, peer: Peer) -> Answer {
        if let Err(problem) = peer.must_administrate() {
            return Answer::forbidden(&problem);
        }
        match self.ask(Request::GiveUp).await {
            Ok(Ok(())) => Answer::no_content(),
            Ok(Err(problem)) => Answer::conflict(&problem),
            Err(problem) => Answer::unavailable(&problem),
        }
    }

    /// `POST /v1/session/approval`
    pub(super) async fn approve_session(&self, peer: Peer, body: Bytes) -> Answer {
        if let Err(problem) = peer.must_administrate() {
            return Answer::forbidden(&problem);
        }
        let request: ApprovalRequest = match answer::read(&body) {
            Ok(request) => request,
            Err(answer) => return answer,
        };
        match approval::given(&request) {
            Ok(approval) => self.submit(|reply| Request::Approve(approval, reply)).await,
            Err(error) => Answer::bad_request(error.to_string()),
        }
    }

    /// `POST /v1/session/confirmation`
    pub(super) async fn confirm_session(&self, peer: Peer, body: Bytes) -> Answer {
        if let Err(problem) = peer.must_administrate() {
            return Answer::forbidden(&problem);
        }
        let request: ConfirmationRequest = match answer::read(&body) {
            Ok(request) => request,
            Err(answer) => return answer,
        };
        match Text::new(request.code) {
            Ok(code) => self.submit(|reply| Request::Confirm(code, reply)).await,
            Err(error) => Answer::bad_request(format!("the confirmation: {error}")),
        }
    }

    async fn show_session(&self) -> Answer {
        match self.ask(Request::Session).await {
            Ok(Some(status)) => Answer::ok(&status),
            Ok(None) => Answer::json(StatusCode::NOT_FOUND, &problem::no_session()),
            Err(problem) => Answer::unavailable(&problem),
        }
    }

    /// Submits an approval or a confirmation, and answers with the session's status after it.
    async fn submit(&self, request: impl FnOnce(oneshot::Sender<SubmitOutcome>) -> Request) -> Answer {
        match self.ask(request).await {
            Ok(Ok(status)) => Answer::ok(&status),
            Ok(Err(Unanswered::NoSession(problem))) => Answer::conflict(&problem),
            Ok(Err(Unanswered::Unreachable(problem))) | Err(problem) => Answer::unavailable(&problem),
        }
    }
}
