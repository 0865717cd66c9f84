//! The context of all phases: the time, the settings, the effects so far, and the state of the gate.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use pawl_local_api::Problem;
use pawl_proto::Epoch;
use pawl_proto::message::{Audience, Scope};
use pawl_proto::record::DeviceFact;

use super::common::{RequestId, Ticket};
use super::effect::{Effect, Reply, TpmCommand, Write};
use super::time::{Jitter, Now};
use crate::backoff::Backoff;
use crate::problem;
use crate::record::Moment;
use crate::telemetry::event::SecurityEvent;

/// The part of the configuration that the core uses.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The tokens, by name.
    pub tokens: Vec<TokenSettings>,
    /// Whether the daemon requests the first pairing by itself.
    pub pairs_by_itself: bool,
    /// The NV index of the counter.
    pub counter: u32,
    /// The scopes of a pairing whose caller names none.
    pub scopes: Vec<Scope>,
    /// The audiences that a pairing requests.
    pub audiences: Vec<Audience>,
}

/// A token of the configuration.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// Its name.
    pub name: String,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// Its audience; the control plane's URL if the configuration names none.
    pub audience: String,
    /// Its audience as the configuration names it.
    pub named_audience: Option<String>,
}

/// The state of the gate. The executor's gate follows it with each effect.
#[derive(Debug)]
enum GateState {
    Open { until: Duration },
    Closed(Problem),
}

pub(super) struct Context {
    pub(super) now: Now,
    pub(super) settings: Settings,
    effects: Vec<Effect>,
    tickets: Rc<Cell<u64>>,
    jitter: Jitter,
    gate: GateState,
}

impl Context {
    pub(super) fn new(now: Now, settings: Settings, seed: u64) -> Self {
        Self {
            now,
            settings,
            effects: Vec::new(),
            tickets: Rc::default(),
            jitter: Jitter::new(seed),
            gate: GateState::Closed(problem::unpaired()),
        }
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        next_ticket(&self.tickets)
    }

    /// Returns the counter of the tickets, for a procedure.
    pub(super) fn tickets(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.tickets)
    }

    /// Returns an independent jitter for a procedure.
    pub(super) fn fork_jitter(&mut self) -> Jitter {
        self.jitter.fork()
    }

    pub(super) fn tpm(&mut self, command: TpmCommand) -> Ticket {
        let ticket = self.ticket();
        self.push(Effect::Tpm(ticket, command));
        ticket
    }

    pub(super) fn write(&mut self, write: Write) -> Ticket {
        let ticket = self.ticket();
        self.push(Effect::Write(ticket, write));
        ticket
    }

    pub(super) fn record(&mut self, epoch: Option<Epoch>, moment: Option<Moment>, fact: DeviceFact) {
        self.push(Effect::Record { epoch, moment, fact });
    }

    pub(super) fn security(&mut self, event: SecurityEvent, epoch: Option<Epoch>, text: String) {
        self.push(Effect::Security(event, epoch, text));
    }

    pub(super) fn reply(&mut self, request: Option<RequestId>, reply: Reply) {
        if let Some(request) = request {
            self.push(Effect::Reply(request, reply));
        }
    }

    /// Returns the time `wait` from now, on CLOCK_BOOTTIME.
    pub(super) fn after(&self, wait: Duration) -> Duration {
        self.now.boot.saturating_add(wait)
    }

    /// Returns the time of the next attempt, on CLOCK_BOOTTIME.
    pub(super) fn retry(&mut self, backoff: &mut Backoff) -> Duration {
        let delay = self.jitter.delay(backoff);
        self.after(delay)
    }

    pub(super) fn is_due(&self, deadline: Option<Duration>) -> bool {
        deadline.is_some_and(|deadline| deadline <= self.now.boot)
    }

    pub(super) fn close_gate(&mut self, problem: Problem) {
        self.gate = GateState::Closed(problem.clone());
        self.push(Effect::CloseGate(problem));
    }

    pub(super) fn set_gate_open(&mut self, until: Duration) {
        self.gate = GateState::Open { until };
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.gate, GateState::Open { .. })
    }

    /// Returns when the lease expires, on CLOCK_BOOTTIME; none if the gate is closed.
    pub(super) fn open_until(&self) -> Option<Duration> {
        match self.gate {
            GateState::Open { until } => Some(until),
            GateState::Closed(_) => None,
        }
    }

    /// Returns why the gate is closed; none if it is open.
    pub(super) fn problem(&self) -> Option<&Problem> {
        match &self.gate {
            GateState::Open { .. } => None,
            GateState::Closed(problem) => Some(problem),
        }
    }
}

/// Returns the next ticket of this counter.
pub(super) fn next_ticket(tickets: &Cell<u64>) -> Ticket {
    tickets.set(tickets.get() + 1);
    Ticket(tickets.get())
}
