//! The phases and the transitions between them.

use std::sync::Arc;
use std::time::Duration;

use super::common::{MessageId, Ticket};
use super::context::Context;
use super::effect::Effect;
use super::examination::Examination;
use super::idle::Idle;
use super::orders::{Ending, Refused};
use super::paired::Paired;
use super::receipts::Receipts;
use super::revocation::{Caller, Revoking};
use super::session::{Creating, Sessions};
use super::time::earliest;
use crate::problem;
use crate::record::PairingRecord;

/// The phase of the device, and the operations that run in parallel to it.
pub(super) struct Machine {
    pub(super) cx: Context,
    pub(super) phase: Phase,
    pub(super) sessions: Sessions,
    pub(super) receipts: Receipts,
    pub(super) refused: Refused,
    pub(super) examination: Examination,
    pub(super) callers: Callers,
}

pub(super) enum Phase {
    /// There is no pairing, or it has ended.
    Idle(Box<Idle>),
    /// An approved pairing is being created. The second value is the phase after a failure.
    Creating(Box<Creating>, Box<Idle>),
    /// The pairing is live.
    Paired(Box<Paired>),
    /// The epoch is being ended.
    Revoking(Box<Revoking>),
}

impl Machine {
    pub(super) fn new(cx: Context) -> Self {
        Self {
            cx,
            phase: Phase::Idle(Box::new(Idle::unpaired(problem::unpaired()))),
            sessions: Sessions::new(),
            receipts: Receipts::default(),
            refused: Refused::default(),
            examination: Examination::at_start(),
            callers: Callers::default(),
        }
    }

    /// Returns when something is due that runs beside the phases, or the creation of a pairing.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let creating = match &self.phase {
            Phase::Creating(creating, _) => creating.procedure.deadline(),
            _ => None,
        };
        earliest([self.examination.deadline(), self.sessions.deadline(), self.receipts.deadline(), creating])
    }

    /// Disconnects from the broker before the phase ends.
    pub(super) fn leave(&mut self) {
        if matches!(self.phase, Phase::Paired(_) | Phase::Revoking(_)) {
            self.cx.push(Effect::Disconnect);
        }
    }

    /// Closes the gate, for the reason that `idle` has.
    pub(super) fn become_idle(&mut self, idle: Idle) {
        self.cx.close_gate(idle.problem().clone());
        self.cx.push(Effect::TellHolders);
        self.phase = Phase::Idle(Box::new(idle));
        self.show_session();
    }

    /// Without a live pairing, the closed gate reports the session that waits for its approval.
    pub(super) fn show_session(&mut self) {
        if let (true, Phase::Idle(idle)) = (self.sessions.is_open(), &mut self.phase) {
            idle.forget_retry();
            self.cx.close_gate(problem::pairing());
        }
    }

    /// Leaves a pairing that another TPM made: nothing of it works here.
    pub(super) fn moved_disk(&mut self) {
        if let Phase::Paired(paired) = &self.phase {
            let problem = problem::moved_disk(paired.record().device.as_str());
            self.leave();
            self.become_idle(Idle::unpaired(problem));
        }
    }

    /// Ends an epoch. The gate closes and the increment begins before anything else.
    pub(super) fn revoke(
        &mut self,
        record: Arc<PairingRecord>,
        order: Ending,
        message: Option<MessageId>,
        caller: Option<Caller>,
    ) {
        let is_linked = matches!(&self.phase, Phase::Paired(paired) if paired.broker.is_connected());
        let revoking = Revoking::begin(&mut self.cx, record, order, is_linked, message, caller);
        self.examination.abandon();
        self.phase = Phase::Revoking(Box::new(revoking));
    }

    /// Returns the pairing, live or over.
    pub(super) fn record(&self) -> Option<&PairingRecord> {
        match &self.phase {
            Phase::Idle(idle) => idle.record(),
            Phase::Creating(..) => None,
            Phase::Paired(paired) => Some(paired.record()),
            Phase::Revoking(revoking) => Some(revoking.record()),
        }
    }
}

/// The callers for whom a TPM command runs.
#[derive(Default)]
pub(super) struct Callers {
    command: Option<(Ticket, Caller)>,
    is_deprovisioned: bool,
}

impl Callers {
    /// Sets the caller for whom this command runs. Returns the caller whose command it replaces.
    pub(super) fn await_command(&mut self, ticket: Ticket, caller: Caller) -> Option<Caller> {
        self.command.replace((ticket, caller)).map(|(_, before)| before)
    }

    /// Takes the caller for whom this command ran.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Caller> {
        self.command.take_if(|(expected, _)| *expected == ticket).map(|(_, caller)| caller)
    }

    /// Notes that the counter was removed.
    pub(super) fn deprovisioned(&mut self) {
        self.is_deprovisioned = true;
    }

    pub(super) fn is_deprovisioned(&self) -> bool {
        self.is_deprovisioned
    }

    /// Returns whether the counter is being removed, or was removed: from then on no session begins in this process, since
    /// each would define the counter again.
    pub(super) fn is_deprovisioning(&self) -> bool {
        self.is_deprovisioned || matches!(self.command, Some((_, Caller::Deprovision(_))))
    }
}
