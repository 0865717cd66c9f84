//! What the local API asks of the state machine.

use std::time::Instant;

use pawl_proto::Text;
use pawl_proto::local::{Deprovisioned, PairRequest, Problem, SessionStatus, WipeRequest, Wiped};
use pawl_proto::message::{Cause, GivenApproval};
use tokio::sync::oneshot;

use super::{Device, Phase, Snapshot};
use crate::pairing::{Progress, Reply, Step};
use crate::{problem, wipe};

/// A question, and where the answer goes.
pub(crate) enum Request {
    Status(oneshot::Sender<Snapshot>),
    Pair(PairRequest, oneshot::Sender<Result<(), Problem>>),
    Session(oneshot::Sender<Option<SessionStatus>>),
    Approve(GivenApproval, Reply),
    Confirm(Text<32>, Reply),
    GiveUp(oneshot::Sender<Result<(), Problem>>),
    Wipe(WipeRequest, oneshot::Sender<Result<Wiped, Problem>>),
    Deprovision(oneshot::Sender<Result<Deprovisioned, Problem>>),
}

impl Device {
    pub(super) async fn serve(&mut self, request: Request) {
        // Whoever asked may have gone; then nobody reads the answer.
        match request {
            Request::Status(reply) => drop(reply.send(self.snapshot())),
            Request::Pair(wanted, reply) => drop(reply.send(self.pair(wanted))),
            Request::Session(reply) => drop(reply.send(self.progress.as_ref().map(Progress::status))),
            Request::Approve(approval, reply) => self.step(reply, |reply| Step::Approval(approval, reply)),
            Request::Confirm(code, reply) => self.step(reply, |reply| Step::Confirmation(code, reply)),
            Request::GiveUp(reply) => drop(reply.send(self.give_up_session())),
            Request::Wipe(request, reply) => drop(reply.send(self.wipe_on_request(request).await)),
            Request::Deprovision(reply) => drop(reply.send(self.deprovision().await)),
        }
    }

    fn pair(&mut self, wanted: PairRequest) -> Result<(), Problem> {
        match self.phase {
            _ if self.deprovisioned => Err(problem::deprovisioned()),
            Phase::Pairing(_) => Err(problem::pairing()),
            _ if self.granted.is_some() => Err(problem::pairing()),
            Phase::Paired(_) if !wanted.again => Err(problem::already_paired()),
            Phase::Paired(_) | Phase::Idle(_) | Phase::Revoked(_) => {
                self.begin_session(wanted, true);
                Ok(())
            }
        }
    }

    /// Somebody on the device ends what there is: the pairing, or the asking for one.
    pub(super) async fn wipe_on_request(&mut self, request: WipeRequest) -> Result<Wiped, Problem> {
        let asked = self.drop_session();
        match &self.phase {
            Phase::Paired(_) => {
                let order = wipe::Order {
                    cause: Cause::Wipe,
                    event: None,
                    reason: request.reason,
                    arrived: Instant::now(),
                };
                self.wipe(order, None).await
            }
            Phase::Pairing(_) => self.abandon_pairing().await,
            Phase::Idle(_) | Phase::Revoked(_) if asked => self.abandon_pairing().await,
            Phase::Idle(_) | Phase::Revoked(_) => Err(problem::nothing_to_wipe()),
        }
    }
}
