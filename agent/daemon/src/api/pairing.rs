//! `POST /v1/pair`: begins a session for a pairing; `GET /v1/session` tells how it goes.

use hyper::StatusCode;
use hyper::body::Bytes;
use pawl_proto::local::PairRequest;
use serde_json::json;

use super::Api;
use super::answer::{self, Answer};
use super::peer::Peer;
use crate::device::Request;

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
}
