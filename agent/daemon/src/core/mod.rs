//! The state machine of the device. It does no I/O: [`Core::handle`] takes an input and the time, and returns effects. It holds no
//! handle to TPM, disk, network, clock or randomness, and starts no task. The same seed and the same inputs give the same effects.
//!
//! | file | contents |
//! | --- | --- |
//! | [`machine`] | the phases, and the transitions between them |
//! | [`dispatch`] | which part handles an input |
//! | [`callers`] | requests of the local API, and when each is answered |
//! | [`examination`], [`found`], [`start`] | what the disk and the TPM have, and which phase follows |
//! | [`idle`] | a device without a live pairing |
//! | [`session`], [`pairing`] | approval sessions, and the creation of an approved pairing |
//! | [`succession`] | an approval ends the old pairing and creates the new one; the status after a failed session |
//! | [`procedure`] | how operations of several steps are written |
//! | [`paired`], [`keep`] | a live pairing: messages, verdicts, and when each is acknowledged |
//! | [`broker`] | the connection of a live pairing, and its subscriptions |
//! | [`lease`], [`tokens`], [`reports`] | what a live pairing renews |
//! | [`evidence`] | a report's evidence and quote |
//! | [`revocation`], [`receipts`] | the end of an epoch, and the proof of it |

mod broker;
mod callers;
mod common;
mod context;
mod dispatch;
mod effect;
mod evidence;
mod examination;
mod found;
mod health;
mod idle;
mod input;
mod keep;
mod lease;
mod machine;
mod orders;
mod paired;
mod pairing;
mod procedure;
mod receipts;
mod reports;
mod revocation;
mod session;
mod start;
mod status;
mod succession;
#[cfg(test)]
mod tests;
mod time;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use pawl_local_api::SessionStatus;
use pawl_proto::message::DeviceState;

use crate::problem;

pub use common::{MessageId, NewKeys, ParcelKind, RequestId, Ticket, VaultKey};
pub use context::{Settings, TokenSettings};
pub use effect::{Call, Effect, Gather, LogRange, OpenGate, Parcel, Reply, Staged, TpmCommand, Write};
pub use found::Found;
pub use input::{
    CallAnswer, CallFailure, Gathered, GatheredLogs, HeldToken, Input, KeyCertificates, LinkInput, NvPcr,
    Request, Secret, SessionAnswer, TpmAnswer, TpmFailure, TpmFailureKind,
};
pub use pairing::Past;
pub use status::Status;
pub use time::Now;

pub use crate::record::{Approved, Moment, PairingRecord, Revocation, Unfinished};
pub use crate::telemetry::event::SecurityEvent;

pub(crate) use evidence::{covers, quoted_pcrs};
pub(crate) use pairing::StatementError;

use context::Context;
use machine::{Machine, Phase};

/// The device.
pub struct Core {
    machine: Machine,
    /// The state that was announced last, and the code of its problem.
    announced: Option<(DeviceState, Option<String>)>,
    has_stopped: bool,
}

impl Core {
    /// Returns a core, which needs [`Input::Found`] as its first input. `seed` decides the jitter of every delay.
    pub fn new(now: Now, settings: Settings, seed: u64) -> Self {
        Self { machine: Machine::new(Context::new(now, settings, seed)), announced: None, has_stopped: false }
    }

    /// Handles an input, and returns the effects. Call it with [`Input::Timer`] when [`Core::deadline`] has passed.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Effect> {
        let machine = &mut self.machine;
        let has_jumped = now.has_jumped_since(machine.cx.now);
        machine.cx.now = now;
        if let (true, Phase::Paired(paired)) = (has_jumped, &mut machine.phase) {
            paired.clock_jumped(&machine.cx);
        }
        dispatch::input(machine, input);
        if self.has_stopped {
            let mut last = self.machine.cx.take_effects();
            last.retain(|effect| matches!(effect, Effect::Write(..) | Effect::Acknowledge(_)));
            return last;
        }
        dispatch::run_due(&mut self.machine);
        self.announce();
        self.machine.cx.take_effects()
    }

    /// Returns when the core needs [`Input::Timer`], on CLOCK_BOOTTIME.
    pub fn deadline(&self) -> Option<Duration> {
        let phase = match &self.machine.phase {
            Phase::Idle(_) if self.machine.callers.is_deprovisioning() => None,
            Phase::Idle(idle) => idle.deadline(),
            Phase::Creating(..) => None,
            Phase::Paired(paired) => paired.deadline(&self.machine.cx),
            Phase::Revoking(revoking) => revoking.deadline(),
        };
        time::earliest([phase, self.machine.deadline()])
    }

    /// Returns the device's state.
    pub fn state(&self) -> DeviceState {
        match &self.machine.phase {
            Phase::Creating(..) => DeviceState::Pairing,
            Phase::Idle(_) | Phase::Revoking(_) if self.machine.sessions.asks() => DeviceState::Pairing,
            Phase::Idle(idle) => idle.state(),
            Phase::Paired(_) => paired::state(&self.machine.cx),
            Phase::Revoking(_) => DeviceState::Revoked,
        }
    }

    /// Returns whether an epoch is being ended.
    pub fn is_revoking(&self) -> bool {
        matches!(self.machine.phase, Phase::Revoking(_))
    }

    /// Returns whether an examination of disk and counter is in progress.
    pub fn is_examining(&self) -> bool {
        self.machine.examination.is_under_way()
    }

    /// Returns the status of the newest session.
    pub fn session(&self) -> Option<SessionStatus> {
        self.machine.sessions.status()
    }

    /// Shows the state to systemd if the state or its reason has changed, and publishes the state if it has changed.
    fn announce(&mut self) {
        let state = self.state();
        let problem = self.machine.cx.problem().cloned();
        let code = problem.as_ref().map(|problem| problem.error.clone());
        let announced = Some((state, code.clone()));
        if self.announced == announced {
            return;
        }
        let is_same_state = self.announced.as_ref().is_some_and(|(before, _)| *before == state);
        self.announced = announced;
        let text = match &problem {
            Some(problem) => format!("{state}: {}", problem.reason),
            None => state.to_string(),
        };
        match SecurityEvent::of_state(state, code.as_deref()) {
            Some(event) => {
                let epoch = self.machine.record().map(|record| record.epoch);
                self.machine.cx.security(event, epoch, text.clone());
            }
            None => tracing::info!("{text}"),
        }
        self.machine.cx.push(Effect::ShowState(text));
        if is_same_state {
            return;
        }
        match &self.machine.phase {
            Phase::Paired(paired) => {
                let record = Arc::clone(paired.record());
                status::publish_status(&mut self.machine.cx, &record, state, true);
            }
            Phase::Revoking(revoking) => revoking.announce(&mut self.machine.cx),
            Phase::Idle(_) | Phase::Creating(..) => {}
        }
    }

    /// Returns the status of the device.
    pub fn status(&self) -> Status {
        let paired = match &self.machine.phase {
            Phase::Paired(paired) => Some(paired.as_ref()),
            _ => None,
        };
        let next = paired.and_then(|paired| paired.reports.deadline());
        Status {
            state: self.state(),
            problem: self.machine.cx.problem().cloned(),
            record: self.machine.record().cloned(),
            entitlement: paired.and_then(|paired| paired.entitlement.clone()),
            verdict: paired.and_then(|paired| paired.verdict.clone()),
            next_report: next.map(|next| next.saturating_sub(self.machine.cx.now.boot)),
            reports: paired.map_or(0, |paired| paired.reports.count()),
            lease: paired.and_then(|paired| paired.leases.present()).cloned(),
            leases_ahead: paired.map_or(0, |paired| paired.leases.ahead()),
            tokens: paired.map(|paired| paired.tokens.status(&self.machine.cx)).unwrap_or_default(),
            broker: paired.map(|paired| paired.broker.status().clone()).unwrap_or_default(),
            past: self.machine.sessions.past(),
            receipt_waiting: self.machine.receipts.is_waiting(),
            refused: self.machine.refused.counts(),
        }
    }

    /// Returns the effects of a stop. From now on [`Core::handle`] returns only writes, and the acknowledgements that follow
    /// them: what the daemon acknowledges is on the disk.
    pub fn stop(&mut self, now: Now) -> Vec<Effect> {
        self.machine.cx.now = now;
        let state = self.state();
        self.machine.cx.close_gate(problem::stopping());
        self.machine.cx.push(Effect::TellHolders);
        if let Phase::Paired(paired) = &self.machine.phase {
            let record = Arc::clone(paired.record());
            status::publish_status(&mut self.machine.cx, &record, state, false);
        }
        self.has_stopped = true;
        self.machine.cx.take_effects()
    }
}
