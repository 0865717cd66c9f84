//! `POST /v1/wipe`, `POST /v1/deprovision`, `POST /v1/self-test` and `POST /v1/tpm-test`: the calls that move counters in
//! the TPM.

use hyper::body::Bytes;
use pawl_local_api::{SelfTest, WipeRequest};
use pawl_tpm::CounterTest;

use super::Api;
use super::answer::{self, Answer};
use super::peer::Peer;
use crate::device::Request;
use crate::problem::problem;
use crate::tpm_test;

impl Api {
    pub(super) async fn wipe(&self, peer: Peer, body: Bytes) -> Answer {
        if let Err(problem) = peer.must_administrate() {
            return Answer::forbidden(&problem);
        }
        let request: WipeRequest = match answer::read(&body) {
            Ok(request) => request,
            Err(answer) => return answer,
        };
        Answer::outcome(self.ask(|reply| Request::Wipe(request, reply)).await)
    }

    pub(super) async fn deprovision(&self, peer: Peer) -> Answer {
        if let Err(problem) = peer.must_administrate() {
            return Answer::forbidden(&problem);
        }
        Answer::outcome(self.ask(Request::Deprovision).await)
    }

    /// Tests the TPM's counters, at most once in the daemon's life, because NV memory wears out.
    pub(super) async fn self_test(&self, peer: Peer) -> Answer {
        if let Err(problem) = peer.must_administrate() {
            return Answer::forbidden(&problem);
        }
        match self.shared.counter_test().await {
            Ok(CounterTest { handle, before, after }) => {
                Answer::ok(&SelfTest { index: handle, before, after, writes: CounterTest::WRITES })
            }
            Err(error) => Answer::unavailable(&problem("tpm", error.to_string(), error.remedy())),
        }
    }

    /// Tests the whole mechanism on scratch objects of the TPM.
    pub(super) async fn test_tpm(&self, peer: Peer) -> Answer {
        if let Err(problem) = peer.must_administrate() {
            return Answer::forbidden(&problem);
        }
        match tpm_test::run(&self.shared.tpm).await {
            Ok(report) => Answer::ok(&report),
            Err(error) => Answer::unavailable(&problem("tpm", error.to_string(), error.remedy())),
        }
    }
}
