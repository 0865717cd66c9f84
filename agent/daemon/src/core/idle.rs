//! A device without a live pairing: never paired, or revoked.

use std::sync::Arc;
use std::time::Duration;

use pawl_local_api::{PairRequest, Problem};
use pawl_proto::message::{Cause, DeviceState};

use crate::problem;
use crate::record::{PairingRecord, Revocation};

/// A device without a pairing, or with one that has ended.
#[derive(Clone, Debug)]
pub(super) struct Idle {
    record: Option<PairingRecord>,
    revocation: Option<Revocation>,
    /// A pairing in the present epoch that cannot be used, because its keys are missing or damaged.
    unusable: Option<Arc<PairingRecord>>,
    problem: Problem,
    /// When to start an unattended session, and its request.
    retry: Option<(Duration, PairRequest)>,
    /// Whether the next pairing needs a person at the device.
    wants_person: bool,
}

impl Idle {
    /// Returns a device that was never paired, whose state is lost, or whose disk belongs to another device.
    pub(super) fn unpaired(problem: Problem) -> Self {
        Self { record: None, revocation: None, unusable: None, problem, retry: None, wants_person: false }
    }

    /// Returns a device that cannot use its pairing, although the epoch is live.
    pub(super) fn unusable(record: PairingRecord, problem: Problem) -> Self {
        Self { unusable: Some(Arc::new(record)), ..Self::unpaired(problem) }
    }

    /// Returns a device whose pairing was ended. If the operator ordered a new one, an unattended session is due at once; the
    /// operator's policy decides whether it needs a person.
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

    /// Sets the problem of the last session, which failed. `wants_person`: the next one needs a person at the device.
    pub(super) fn failed(&mut self, problem: Problem, wants_person: bool) {
        self.problem = problem;
        self.wants_person |= wants_person;
    }

    /// Adds the reason of the operator's repair order to the problem of a failed session, if a technician is required.
    pub(super) fn explain(&self, problem: Problem, wants_person: bool) -> Problem {
        match &self.revocation {
            Some(revocation) if wants_person && revocation.cause == Cause::Repair => {
                problem::ordered(problem, &revocation.reason)
            }
            _ => problem,
        }
    }

    /// Schedules an unattended session.
    pub(super) fn retry_at(&mut self, time: Duration, request: PairRequest) {
        self.retry = Some((time, request));
    }

    /// Cancels the scheduled session: another one is open.
    pub(super) fn forget_retry(&mut self) {
        self.retry = None;
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.retry.as_ref().map(|(time, _)| *time)
    }

    /// Removes and returns the request of the scheduled session, if it is due by `now`.
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

    /// Returns the revocation of the last pairing, if its cause is unknown because only the counter shows the end.
    pub(super) fn unexplained(&self) -> Option<&Revocation> {
        self.revocation.as_ref().filter(|revocation| revocation.cause == Cause::Recovery)
    }

    /// Returns what ended the last pairing.
    pub(super) fn cause(&self) -> Option<Cause> {
        self.revocation.as_ref().map(|revocation| revocation.cause)
    }
}
