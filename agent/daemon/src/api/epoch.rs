//! `POST /v1/wipe`: ends the epoch of the pairing, for good.

use hyper::body::Bytes;
use pawl_proto::local::WipeRequest;

use super::Api;
use super::answer::{self, Answer};
use super::peer::Peer;
use crate::device::Request;

impl Api {
    pub(super) async fn wipe(&self, peer: Peer, body: Bytes) -> Answer {
        if let Err(problem) = peer.must_administrate() {
            return Answer::forbidden(&problem);
        }
        let request: WipeRequest = match answer::read(&body) {
            Ok(request) => request,
            Err(answer) => return answer,
        };
        match self.ask(|reply| Request::Wipe(request, reply)).await {
            Ok(Ok(wiped)) => Answer::ok(&wiped),
            Ok(Err(problem)) => Answer::conflict(&problem),
            Err(problem) => Answer::unavailable(&problem),
        }
    }
}
