//! What the local API asks of the state machine.

use pawl_config::TokenConfig;
use pawl_proto::Text;
use pawl_proto::local::{Deprovisioned, PairRequest, Problem, SessionStatus, WipeRequest, Wiped};
use pawl_proto::message::{Entitlement, GivenApproval, Lacking};
use tokio::sync::oneshot;

use super::Snapshot;
use crate::core;
use crate::shared::Shared;

/// A question, and where the answer goes.
pub(crate) enum Request {
    Status(oneshot::Sender<Snapshot>),
    Pair(PairRequest, oneshot::Sender<Result<(), Problem>>),
    Session(oneshot::Sender<Option<SessionStatus>>),
    Approve(GivenApproval, oneshot::Sender<HandedIn>),
    Confirm(Text<32>, oneshot::Sender<HandedIn>),
    GiveUp(oneshot::Sender<Result<(), Problem>>),
    Wipe(WipeRequest, oneshot::Sender<Result<Wiped, Problem>>),
    Deprovision(oneshot::Sender<Result<Deprovisioned, Problem>>),
}

/// How the session stands after an approval or a confirmation, or why nothing came of it.
pub(crate) type HandedIn = Result<SessionStatus, Unanswered>;

/// Why something that was handed in has no outcome.
pub(crate) enum Unanswered {
    /// No session waits for anything.
    NoSession(Problem),
    /// The control plane did not answer; the session goes on.
    Unreachable(Problem),
}

/// A caller that the core has not answered yet.
pub(super) enum Waiting {
    Done(oneshot::Sender<Result<(), Problem>>),
    Session(oneshot::Sender<HandedIn>),
    Wiped(oneshot::Sender<Result<Wiped, Problem>>),
    Deprovisioned(oneshot::Sender<Result<Deprovisioned, Problem>>),
}

impl Waiting {
    /// Answers the caller, who may have gone. An answer of another kind answers nobody.
    pub(super) fn answer(self, reply: core::Reply) {
        match (self, reply) {
            (Self::Done(caller), core::Reply::Done) => drop(caller.send(Ok(()))),
            (Self::Done(caller), core::Reply::Refused(problem)) => drop(caller.send(Err(problem))),
            (Self::Session(caller), core::Reply::Session(status)) => drop(caller.send(Ok(*status))),
            (Self::Session(caller), core::Reply::Unreachable(problem)) => {
                drop(caller.send(Err(Unanswered::Unreachable(problem))));
            }
            (Self::Session(caller), core::Reply::Refused(problem)) => {
                drop(caller.send(Err(Unanswered::NoSession(problem))));
            }
            (Self::Wiped(caller), core::Reply::Wiped(wiped)) => drop(caller.send(Ok(wiped))),
            (Self::Wiped(caller), core::Reply::Refused(problem)) => drop(caller.send(Err(problem))),
            (Self::Deprovisioned(caller), core::Reply::Deprovisioned(done)) => drop(caller.send(Ok(done))),
            (Self::Deprovisioned(caller), core::Reply::Refused(problem)) => drop(caller.send(Err(problem))),
            _ => tracing::error!("a request was answered as if it were another one"),
        }
    }
}

/// Returns what a token of the configuration needs and the operator has not granted.
pub(crate) fn lacking(entitlement: &Entitlement, shared: &Shared, token: &TokenConfig) -> Option<Lacking> {
    entitlement.lacking(token.scopes.iter().map(AsRef::as_ref), &audience(shared, token))
}

/// Returns for whom a token of the configuration is: the control plane itself, where it names nobody.
pub(super) fn audience(shared: &Shared, token: &TokenConfig) -> String {
    match &token.audience {
        Some(audience) => audience.as_str().to_owned(),
        None => shared.config.control_plane.url.to_string(),
    }
}
