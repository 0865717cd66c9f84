//! `POST /v1/self-test`: tests what revocation rests on.

use pawl_proto::local::SelfTest;
use pawl_tpm::CounterTest;

use super::Api;
use super::answer::Answer;
use super::peer::Peer;
use crate::problem::problem;

impl Api {
    /// Runs the test at most once in the daemon's life: NV memory wears out.
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
}
