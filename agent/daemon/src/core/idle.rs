//! A device without a live pairing: never paired, or revoked.

use std::sync::Arc;
use std::time::Duration;

use pawl_local_api::{PairRequest, Problem};
use pawl_proto::message::{Cause, DeviceState};

use crate::problem;
use crate::record::{PairingRecord, Revocation};

/// No pairing, or one that is over.
#[derive(Clone, Debug)]
pub(super) struct Idle {
    record: Option<PairingRecord>,
    revocation: Option<Revocation>,
    /// A pairing in the present epoch that cannot be used, since its keys are gone or damaged.
    unusable: Option<Arc<PairingRecord>>,
    problem: Problem,
    retry: Option<(Duration, PairRequest)>,
    /// Only a person can bring it back.
    wants_person: bool,
}

impl Idle {
    /// A device that was never paired, whose state is lost, or that holds another device's disk.
    pub(super) fn unpaired(problem: Problem) -> Self {
        Self { record: None, revocation: None, unusable: None, problem, retry: None, wants_person: false }
    }

    /// A device that cannot use its pairing, although the epoch goes on.
    pub(super) fn unusable(record: PairingRecord, problem: Problem) -> Self {
        Self { unusable: Some(Arc::new(record)), ..Self::unpaired(problem) }
    }

    /// A device whose pairing was ended. If the operator ordered a new one, a session is due at once; the operator's
    /// policy says whether that takes a person.
    pub(super) fn revoked(record: PairingRecord, revocation: Revocation, now: Duration) -> Self {
        let problem = problem::revoked(&revocation);
        let mut idle = Self { record: Some(record), revocation: Some(revocation), ..Self::unpaired(problem) };
        idle.retry = idle.ordered().map(|request| (now, request));
        idle
    }

    /// Returns the request for the pairing that the operator ordered; none if there is no such order, or it needs a
    /// person.
    pub(super) fn ordered(&self) -> Option<PairRequest> {
        let is_ordered = |revocation: &&Revocation| {
            revocation.cause == Cause::Repair && revocation.event.is_some() && !self.wants_person
        };
        let revocation = self.revocation.as_ref().filter(is_ordered)?;
        Some(PairRequest { reason: revocation.reason.clone(), ..PairRequest::default() })
    }

    /// Shows why the last session brought no pairing. `wants_person`: the next one needs somebody at the device.
    pub(super) fn failed(&mut self, problem: Problem, wants_person: bool) {
        self.problem = problem;
        self.wants_person |= wants_person;
    }

    /// Returns the problem of a failed session; with the operator's order if that needs a technician.
    pub(super) fn explain(&self, problem: Problem, wants_person: bool) -> Problem {
        match &self.revocation {
            Some(revocation) if wants_person && revocation.cause == Cause::Repair => {
                problem::ordered(problem, &revocation.reason)
            }
            _ => problem,
        }
    }

    /// Makes a session due at this time, on this request.
    pub(super) fn retry_at(&mut self, time: Duration, request: PairRequest) {
        self.retry = Some((time, request));
    }

    /// Drops the session that is due: another one is open.
    pub(super) fn forget_retry(&mut self) {
        self.retry = None;
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.retry.as_ref().map(|(time, _)| *time)
    }

    /// Returns the request for a session that is due by `now`.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<PairRequest> {
        self.retry.take_if(|(time, _)| *time <= now).map(|(_, request)| request)
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

    pub(super) fn unusable_pairing(&self) -> Option<&Arc<PairingRecord>> {
        self.unusable.as_ref()
    }

    /// Returns the end of the last pairing, if only the counter told of it.
    pub(super) fn unexplained(&self) -> Option<&Revocation> {
        self.revocation.as_ref().filter(|revocation| revocation.cause == Cause::Recovery)
    }

    /// Returns what ended the last pairing.
    pub(super) fn cause(&self) -> Option<Cause> {
        self.revocation.as_ref().map(|revocation| revocation.cause)
    }
}
