//! `POST /v1/deprovision`: ends the pairing, and removes what Pawl keeps in the TPM.

use super::Api;
use super::answer::Answer;
use super::peer::Peer;
use crate::device::Request;

impl Api {
    pub(super) async fn deprovision(&self, peer: Peer) -> Answer {
        if let Err(problem) = peer.must_administrate() {
            return Answer::forbidden(&problem);
        }
        match self.ask(Request::Deprovision).await {
            Ok(Ok(done)) => Answer::ok(&done),
            Ok(Err(problem)) => Answer::conflict(&problem),
            Err(problem) => Answer::unavailable(&problem),
        }
    }
}
