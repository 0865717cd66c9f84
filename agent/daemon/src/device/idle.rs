//! A device without a live pairing.

use pawl_proto::local::{PairRequest, Problem};
use pawl_proto::message::{Cause, DeviceState};
use tokio::time::{Instant, sleep_until};

use super::Input;
use crate::problem;
use crate::shared::Shared;
use crate::store::{PairingRecord, Revocation};
use crate::wipe::Wiped;

/// No pairing, or one that is over.
pub(super) struct Idle {
    record: Option<PairingRecord>,
    revocation: Option<Revocation>,
    problem: Problem,
    retry: Option<(Instant, PairRequest)>,
    /// Only a person can bring it back.
    wants_person: bool,
}

impl Idle {
    /// A device that was never paired, whose state is lost, or that holds another device's disk.
    pub(super) fn unpaired(problem: Problem) -> Self {
        Self { record: None, revocation: None, problem, retry: None, wants_person: false }
    }

    /// A device whose pairing was ended. Where the operator has ordered a new one, it is asked for at
    /// once; whether that takes a person, the operator's policy says.
    pub(super) fn revoked(record: PairingRecord, revocation: Revocation) -> Self {
        let problem = problem::revoked(&revocation);
        let ordered = revocation.cause == Cause::Repair && revocation.event.is_some();
        let request = PairRequest { reason: revocation.reason.clone(), ..PairRequest::default() };
        let mut idle = Self {
            record: Some(record),
            revocation: Some(revocation),
            problem,
            retry: None,
            wants_person: false,
        };
        if ordered {
            idle.retry_at(Instant::now(), request);
        }
        idle
    }

    /// A device after a wipe: its pairing was ended, or its keys are gone and the TPM refuses to
    /// end their epoch.
    pub(super) fn after_wipe(record: PairingRecord, wiped: &Wiped) -> Self {
        let revoked = Self::revoked(record, wiped.revocation.clone());
        match &wiped.refusal {
            None => revoked,
            Some(error) => Self { problem: problem::counter_owed(error), retry: None, ..revoked },
        }
    }

    /// A device on which a pairing was tried in vain: as it was before, with the reason.
    pub(super) fn after_failure(shared: &Shared, problem: Problem) -> Self {
        let record = shared.store.pairing().ok().flatten();
        let revocation = shared.store.revocation().ok().flatten();
        Self { record, revocation, problem, retry: None, wants_person: false }
    }

    /// A session came to nothing; `wants_person`: another one needs somebody at the device.
    pub(super) fn failed(&mut self, problem: Problem, wants_person: bool) {
        self.problem = problem;
        self.wants_person |= wants_person;
    }

    /// The problem of a session; a person who is wanted is told what the operator wanted.
    pub(super) fn in_its_place(&self, problem: Problem, wants_person: bool) -> Problem {
        match &self.revocation {
            Some(revocation) if wants_person && revocation.cause == Cause::Repair => {
                problem::ordered(problem, &revocation.reason)
            }
            _ => problem,
        }
    }

    /// Tries to pair at this time, on this request.
    pub(super) fn retry_at(&mut self, time: Instant, request: PairRequest) {
        self.retry = Some((time, request));
    }

    /// Something else has come in between.
    pub(super) fn forget_retry(&mut self) {
        self.retry = None;
    }

    pub(super) fn state(&self) -> DeviceState {
        match &self.revocation {
            _ if self.wants_person => DeviceState::Pairing,
            Some(_) => DeviceState::Revoked,
            None => DeviceState::Unpaired,
        }
    }

    pub(super) fn problem(&self) -> &Problem {
        &self.problem
    }

    pub(super) fn record(&self) -> Option<&PairingRecord> {
        self.record.as_ref()
    }

    /// What ended the last pairing.
    pub(super) fn cause(&self) -> Option<Cause> {
        self.revocation.as_ref().map(|revocation| revocation.cause)
    }

    pub(super) async fn next(&mut self) -> Input {
        let Some((time, _)) = &self.retry else { return std::future::pending().await };
        sleep_until(*time).await;
        match self.retry.take() {
            Some((_, request)) => Input::Retry(request),
            None => std::future::pending().await,
        }
    }
}
