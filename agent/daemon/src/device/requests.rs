//! Requests of the local API to the core, and the core's status for `GET /v1/status`.

use pawl_config::TokenConfig;
use pawl_local_api::{
    Deprovisioned, PairRequest, PairingStatus, Problem, SessionStage, SessionStatus, VerdictStatus,
    WipeRequest, Wiped,
};
use pawl_proto::Text;
use pawl_proto::message::{Entitlement, GivenApproval, Lacking, Verdict};
use tokio::sync::oneshot;

use crate::clock::WallClock;
use crate::core::{self, Core, Status};
use crate::record::PairingRecord;
use crate::shared::Shared;

/// A request, and the channel for its answer.
pub(crate) enum Request {
    Status(oneshot::Sender<Snapshot>),
    Pair(PairRequest, oneshot::Sender<Result<(), Problem>>),
    Session(oneshot::Sender<Option<SessionStatus>>),
    Approve(GivenApproval, oneshot::Sender<SubmitOutcome>),
    Confirm(Text<32>, oneshot::Sender<SubmitOutcome>),
    GiveUp(oneshot::Sender<Result<(), Problem>>),
    Wipe(WipeRequest, oneshot::Sender<Result<Wiped, Problem>>),
    Deprovision(oneshot::Sender<Result<Deprovisioned, Problem>>),
}

/// The session's status after an approval or a confirmation, or why it was not submitted.
pub(crate) type SubmitOutcome = Result<SessionStatus, Unanswered>;

/// Why an approval or a confirmation was not submitted.
pub(crate) enum Unanswered {
    /// No session waits for it.
    NoSession(Problem),
    /// The control plane did not answer. The session continues.
    Unreachable(Problem),
}

/// A caller that the core has not answered yet.
pub(super) enum Waiting {
    Done(oneshot::Sender<Result<(), Problem>>),
    Session(oneshot::Sender<SubmitOutcome>),
    Wiped(oneshot::Sender<Result<Wiped, Problem>>),
    Deprovisioned(oneshot::Sender<Result<Deprovisioned, Problem>>),
}

impl Waiting {
    /// Answers the caller, which may have disconnected.
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
            _ => tracing::error!("an answer does not match its request"),
        }
    }
}

/// Returns what a token of the configuration needs and the operator has not granted.
pub(crate) fn lacking(entitlement: &Entitlement, shared: &Shared, token: &TokenConfig) -> Option<Lacking> {
    entitlement.lacking(token.scopes.iter().map(AsRef::as_ref), &audience(shared, token))
}

/// Returns the audience of a configured token: the control plane itself if the configuration names none.
pub(super) fn audience(shared: &Shared, token: &TokenConfig) -> String {
    match &token.audience {
        Some(audience) => audience.as_str().to_owned(),
        None => shared.config.control_plane.url.to_string(),
    }
}

/// The core's part of the status. The API call adds the TPM's part.
pub(crate) struct Snapshot {
    pub(crate) status: Status,
    pub(crate) pairing: Option<PairingStatus>,
    pub(crate) verdict: Option<VerdictStatus>,
    pub(crate) session: Option<SessionStatus>,
}

impl Snapshot {
    /// Returns the status of the core.
    pub(super) fn of(core: &Core, clock: &WallClock) -> Self {
        let status = core.status();
        Self {
            pairing: status.record.as_ref().map(|record| pairing(record, status.entitlement.as_ref())),
            verdict: status.verdict.as_ref().map(|last| verdict(last, &status, clock)),
            session: core.session().filter(|session| session.stage != SessionStage::Done),
            status,
        }
    }
}

fn verdict(verdict: &Verdict, status: &Status, clock: &WallClock) -> VerdictStatus {
    VerdictStatus {
        result: verdict.result,
        standing: verdict.entitlement.standing,
        areas: verdict.areas.clone(),
        reasons: verdict.reasons.clone(),
        time: verdict.time,
        next_report: status.next_report.map(|ahead| clock.unix_in(ahead)),
        reports: status.reports,
    }
}

/// Returns the status of the pairing. `entitlement` is the one in the last verdict; none if the pairing has ended.
fn pairing(record: &PairingRecord, entitlement: Option<&Entitlement>) -> PairingStatus {
    PairingStatus {
        id: record.pairing,
        epoch: record.epoch,
        control_plane: record.control_plane.to_string(),
        endorsement: record.endorsement.to_string(),
        scopes: entitlement.map_or(&record.scopes, |granted| &granted.scopes).clone(),
        audiences: entitlement.map(|granted| granted.audiences.clone()).unwrap_or_default(),
    }
}
