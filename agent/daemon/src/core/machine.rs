//! The phases and the ways from one to another.

use std::sync::Arc;
use std::time::Duration;

use pawl_proto::Text;
use pawl_proto::local::{PairRequest, Problem, SessionStage};
use pawl_proto::message::Cause;
use pawl_proto::record::DeviceFact;

use super::callers::{self, Callers};
use super::context::Context;
use super::effect::{Effect, Ticket, Write};
use super::idle::Idle;
use super::input::{
    CallAnswer, CallFailure, Found, LinkInput, MakingFailure, MessageId, SessionFailure, TpmAnswer,
    TpmFailure,
};
use super::orders::{self, Refused};
use super::paired::{self, Paired};
use super::receipts::Receipts;
use super::revocation::{self, Caller, Order, Revoking};
use super::session::{self, Making, Open, Sessions};
use super::start::{self, Start};
use crate::problem::{self, problem};
use crate::store::{Approved, PairingRecord, Revocation};
use crate::telemetry::event::SecurityEvent;

/// The phase of the device, and what runs beside it.
pub(super) struct Machine {
    pub(super) cx: Context,
    pub(super) phase: Phase,
    pub(super) sessions: Sessions,
    pub(super) receipts: Receipts,
    pub(super) refused: Refused,
    /// When to read disk and counter again, after the TPM did not answer.
    pub(super) examine: Option<Duration>,
    pub(super) callers: Callers,
}

pub(super) enum Phase {
    /// No pairing, or one that is over.
    Idle(Box<Idle>),
    /// A pairing was approved, and is being made. What the device is if that fails stands beside it.
    Making(Making, Box<Idle>),
    Paired(Box<Paired>),
    /// The epoch is being ended.
    Revoking(Box<Revoking>),
}

const EXAMINE_AGAIN: Duration = Duration::from_secs(5);

impl Machine {
    pub(super) fn new(cx: Context) -> Self {
        Self {
            cx,
            phase: Phase::Idle(Box::new(Idle::unpaired(problem::unpaired()))),
            sessions: Sessions::new(),
            receipts: Receipts::default(),
            refused: Refused::default(),
            examine: None,
            callers: Callers::default(),
        }
    }

    pub(super) fn run_due(&mut self) {
        if self.cx.is_due(self.examine) {
            self.examine = None;
            self.cx.push(Effect::Examine);
        }
        match &mut self.phase {
            Phase::Idle(idle) => {
                if let Some(request) = idle.take_due(self.cx.now.boot) {
                    self.sessions.begin_unattended(&mut self.cx, request);
                    self.show_session();
                }
            }
            Phase::Making(..) => {}
            Phase::Paired(paired) => paired.run_due(&mut self.cx),
            Phase::Revoking(revoking) => {
                let outcome = revoking.run_due(&mut self.cx);
                self.revoking(outcome);
            }
        }
        self.receipts.run_due(&mut self.cx);
    }

    /// Enters the phase that follows from disk and counter.
    pub(super) fn found(&mut self, found: Found) {
        self.examine = None;
        if found.completed
            && let Ok(Some(PairingRecord { epoch, pairing, scopes, .. })) = &found.pairing
        {
            tracing::warn!("a granted pairing was cut short; it takes the place of the old one");
            self.cx.security(SecurityEvent::PAIRED, Some(*epoch), format!("pairing {pairing}"));
            let fact = DeviceFact::Paired { pairing: *pairing, scopes: scopes.clone() };
            self.cx.record(Some(*epoch), None, fact);
        }
        self.leave();
        let start = start::decide(&found, self.cx.now.unix);
        if !self.sessions.asks() {
            match start::approval(&found) {
                Some(approved) => {
                    tracing::warn!("resuming the approved pairing");
                    self.sessions.resume(
                        &mut self.cx,
                        Box::new(approved.clone()),
                        start::may_have_keys(&found),
                    );
                }
                None if found.approved.is_some() => {
                    tracing::warn!("dropping a kept approval: it is over, or another TPM's");
                    self.cx.write(Write::DiscardUnfinished);
                }
                None => {}
            }
        }
        let Found { verdict, lease, receipts, .. } = found;
        match start {
            Start::Unpaired(problem) => {
                let mut idle = Idle::unpaired(problem);
                if self.cx.settings.pairs_by_itself && idle.problem().error == "unpaired" {
                    idle.retry_at(self.cx.now.boot, PairRequest::default());
                }
                self.become_idle(idle);
            }
            Start::Unusable(record, problem) => self.become_idle(Idle::unusable(record, problem)),
            Start::Paired(record) => {
                let paired = Paired::start(&mut self.cx, record, verdict, lease);
                self.phase = Phase::Paired(Box::new(paired));
            }
            Start::Wipe(record, order) => self.revoke(Arc::new(record), order, None, None),
            Start::Finish(record, revocation) => {
                let (cx, receipts) = (&mut self.cx, &mut self.receipts);
                let revoking = Revoking::finish(cx, receipts, Arc::new(record), revocation);
                self.phase = Phase::Revoking(Box::new(revoking));
            }
            Start::Revoked(record, revocation) => {
                self.cx.write(Write::DestroyKeys);
                self.become_idle(Idle::revoked(record, revocation, self.cx.now.boot));
            }
        }
        self.receipts.found(&self.cx, receipts);
        self.make_granted();
    }

    /// The TPM did not tell its counter.
    pub(super) fn not_found(&mut self, failure: &TpmFailure) {
        tracing::error!(error = failure.text, remedy = failure.remedy, "cannot read the epoch counter");
        self.examine = Some(self.cx.after(EXAMINE_AGAIN));
    }

    /// Gives up what the present phase has of the world outside.
    pub(super) fn leave(&mut self) {
        if matches!(self.phase, Phase::Paired(_) | Phase::Revoking(_)) {
            self.cx.push(Effect::Disconnect);
        }
    }

    pub(super) fn become_idle(&mut self, idle: Idle) {
        self.cx.close_gate(idle.problem().clone());
        self.cx.push(Effect::TellHolders);
        self.phase = Phase::Idle(Box::new(idle));
        self.show_session();
    }

    pub(super) fn link(&mut self, input: LinkInput) {
        match &mut self.phase {
            Phase::Paired(paired) => {
                let outcome = paired.link(&mut self.cx, &mut self.refused, input);
                self.paired(outcome);
            }
            Phase::Revoking(revoking) => {
                let outcome = revoking.link(&mut self.cx, &input);
                self.revoking(outcome);
            }
            Phase::Idle(_) | Phase::Making(..) => {}
        }
    }

    pub(super) fn tpm(&mut self, ticket: Ticket, answer: Result<TpmAnswer, TpmFailure>) {
        if let Some(caller) = self.callers.take(ticket) {
            return callers::command_over(self, caller, answer);
        }
        let receipt = self.receipts.tpm(&mut self.cx, ticket, &answer);
        match &mut self.phase {
            Phase::Paired(paired) => {
                let outcome = paired.tpm(&mut self.cx, ticket, answer);
                self.paired(outcome);
            }
            Phase::Revoking(revoking) => {
                let outcome = match receipt {
                    Some((ended, made)) => revoking.receipt(&mut self.cx, ended, made),
                    None => revoking.tpm(&mut self.cx, &mut self.receipts, ticket, &answer),
                };
                self.revoking(outcome);
            }
            // No link carries a receipt that was made late.
            Phase::Idle(_) | Phase::Making(..) if receipt.is_some() => self.receipts.deliver(&self.cx),
            Phase::Idle(_) | Phase::Making(..) => {}
        }
    }

    pub(super) fn called(&mut self, ticket: Ticket, answer: Result<CallAnswer, CallFailure>) {
        // Written before the receipt is removed: without the receipt the control plane is not asked again.
        if let Ok(CallAnswer::ReceiptTaken(Some(event))) = &answer {
            self.learn_order(event);
        }
        self.receipts.called(&mut self.cx, ticket, &answer);
        if let Phase::Paired(paired) = &mut self.phase {
            paired.called(&mut self.cx, ticket, answer);
        }
    }

    /// Takes the event that ended the last epoch, if this device does not know what did: its process was killed between
    /// the increment and the write of the cause.
    fn learn_order(&mut self, message: &[u8]) {
        let Phase::Idle(idle) = &self.phase else { return };
        let (Some(record), Some(revocation)) = (idle.record(), idle.unexplained()) else { return };
        match orders::verify_ending(record, message) {
            Ok((cause, event)) => {
                let revocation =
                    Revocation { cause, event: Some(event.id), reason: event.reason, ..revocation.clone() };
                tracing::warn!(event = %event.id, ?cause, "the control plane tells which order ended the epoch");
                let idle = Idle::revoked(record.clone(), revocation.clone(), self.cx.now.boot);
                self.cx.write(Write::Revocation(revocation));
                self.become_idle(idle);
            }
            Err(refusal) => self.refused.count(&mut self.cx, refusal),
        }
    }

    pub(super) fn written(&mut self, ticket: Ticket, outcome: &Result<(), String>) {
        if let Err(error) = outcome {
            tracing::error!(error, "a write failed");
        }
        match self.sessions.written(ticket, outcome) {
            Some(Ok(())) => self.end_old_pairing(),
            Some(Err(granted)) => {
                let text = outcome.as_ref().err().map_or("", String::as_str);
                let remedy = "check the disk, its free space and the owner of the state directory";
                let problem = problem("state-not-kept", text, remedy);
                session::fail(&mut self.cx, granted.ticket, problem.clone());
                self.session_failed(problem, granted.unattended, false);
            }
            None => {}
        }
        match &mut self.phase {
            Phase::Paired(paired) => paired.written(&mut self.cx, ticket, outcome),
            Phase::Revoking(revoking) => {
                let outcome = revoking.written(ticket);
                self.revoking(outcome);
            }
            Phase::Idle(_) | Phase::Making(..) => {}
        }
    }

    fn paired(&mut self, outcome: paired::Outcome) {
        match outcome {
            paired::Outcome::Stay => {}
            paired::Outcome::Wipe(order, message) => {
                let Phase::Paired(paired) = &self.phase else { return };
                let record = Arc::clone(paired.record());
                self.revoke(record, order, message, None);
                // The order may be what became of an approval.
                self.sessions.poll(&mut self.cx);
            }
            paired::Outcome::Examine => {
                tracing::warn!("the epoch counter does not fit the pairing");
                self.cx.close_gate(problem::other_tpm());
                self.cx.push(Effect::TellHolders);
                self.cx.push(Effect::Examine);
            }
            paired::Outcome::MovedDisk => self.moved_disk(),
        }
    }

    fn moved_disk(&mut self) {
        if let Phase::Paired(paired) = &self.phase {
            let problem = problem::moved_disk(paired.record().device.as_str());
            self.leave();
            self.become_idle(Idle::unpaired(problem));
        }
    }

    /// Ends an epoch. This is the urgent path: the gate closes and the increment begins before anything else.
    pub(super) fn revoke(
        &mut self,
        record: Arc<PairingRecord>,
        order: Order,
        message: Option<MessageId>,
        caller: Option<Caller>,
    ) {
        let is_linked = matches!(&self.phase, Phase::Paired(paired) if paired.broker().connected);
        let revoking = Revoking::begin(&mut self.cx, record, order, is_linked, message, caller);
        self.phase = Phase::Revoking(Box::new(revoking));
    }

    pub(super) fn revoking(&mut self, outcome: revocation::Outcome) {
        match outcome {
            revocation::Outcome::Going => {}
            revocation::Outcome::Answer(callers, answer) => callers::answer(self, callers, &answer),
            revocation::Outcome::Over(callers, wiped) => {
                self.leave();
                let idle = Idle::unpaired(problem::unpaired());
                let phase = std::mem::replace(&mut self.phase, Phase::Idle(Box::new(idle)));
                if let Phase::Revoking(revoking) = phase {
                    self.become_idle(revoking.into_idle(self.cx.now.boot));
                }
                self.receipts.deliver(&self.cx);
                callers::answer(self, callers, &Ok(wiped));
                self.make_granted();
            }
        }
    }

    /// Without a live pairing, the closed gate reports the session that waits for its approval.
    pub(super) fn show_session(&mut self) {
        if let (true, Phase::Idle(idle)) = (self.sessions.is_open(), &mut self.phase) {
            idle.forget_retry();
            self.cx.close_gate(problem::pairing());
        }
    }

    pub(super) fn session_over(&mut self, ticket: Ticket, outcome: Result<Box<Approved>, SessionFailure>) {
        let Some(open) = self.sessions.take(ticket) else { return };
        match outcome {
            Ok(approved) => self.sessions.approved(&mut self.cx, open, approved),
            Err(SessionFailure { problem, wants_person }) => {
                let Open { unattended, .. } = open;
                session::fail(&mut self.cx, ticket, problem.clone());
                self.session_failed(problem, unattended, wants_person);
            }
        }
    }

    /// An approved session ends the old pairing before anything new is made.
    fn end_old_pairing(&mut self) {
        let Some(granted) = self.sessions.granted() else { return };
        let (order, name) = (session::order(&granted.approved), granted.approved.attestation_name.clone());
        match &self.phase {
            Phase::Paired(paired) if paired.record().attestation_name == name => {
                let record = Arc::clone(paired.record());
                self.revoke(record, order, None, None);
            }
            // Another TPM's disk, whose epoch has the number of ours: nothing of it lives here.
            Phase::Paired(_) => self.moved_disk(),
            Phase::Idle(idle) => {
                let unusable = idle.unusable_pairing().filter(|record| record.attestation_name == name);
                if let Some(record) = unusable.cloned() {
                    self.revoke(record, order, None, None);
                }
            }
            // An order has ended it already.
            Phase::Revoking(_) | Phase::Making(..) => {}
        }
        self.make_granted();
    }

    /// Makes the approved pairing, once the old one has ended.
    fn make_granted(&mut self) {
        let Phase::Idle(idle) = &self.phase else { return };
        let idle = idle.clone();
        if let Some(making) = self.sessions.make(&mut self.cx) {
            self.phase = Phase::Making(making, idle);
        }
    }

    pub(super) fn pairing_made(&mut self, ticket: Ticket, outcome: Result<(), MakingFailure>) {
        match &self.phase {
            Phase::Making(making, _) if making.ticket == ticket => {}
            _ => return,
        }
        let Err(failure) = outcome else {
            self.sessions.succeeded();
            self.cx.push(Effect::ShowStage(ticket, SessionStage::Done));
            return self.cx.push(Effect::Examine);
        };
        let idle = Box::new(Idle::unpaired(problem::unpaired()));
        let Phase::Making(making, mut idle) = std::mem::replace(&mut self.phase, Phase::Idle(idle)) else {
            return;
        };
        session::fail(&mut self.cx, ticket, failure.problem.clone());
        idle.failed(failure.problem.clone(), false);
        if let Some(request) = making.unattended {
            let time = self.sessions.next_try(&mut self.cx);
            idle.retry_at(time, request);
        }
        match failure.granted {
            None => self.become_idle(*idle),
            Some(record) => {
                let reason = format!("the device could not store the pairing: {}", failure.problem.reason);
                let order = Order { cause: Cause::Recovery, event: None, reason: Text::lossy(&reason) };
                let record = Arc::new(*record);
                let revoking = Revoking::begin(&mut self.cx, record, order, false, None, None);
                self.phase = Phase::Revoking(Box::new(revoking.then(*idle)));
            }
        }
    }

    /// Nothing came of a session. A live pairing goes on; where there is none, the reason is shown, and an unattended
    /// session is opened again, unless a person is all that is missing.
    pub(super) fn session_failed(
        &mut self,
        problem: Problem,
        unattended: Option<PairRequest>,
        wants_person: bool,
    ) {
        let Phase::Idle(idle) = &mut self.phase else { return };
        let problem = idle.explain(problem, wants_person);
        self.cx.close_gate(problem.clone());
        // What the operator ordered stays ordered, although the caller has given up.
        let is_ordered = unattended.is_none() && idle.cause() == Some(Cause::Repair);
        idle.failed(problem, is_ordered || wants_person && unattended.is_some());
        if let Some(request) = unattended.filter(|_| !wants_person) {
            idle.retry_at(self.sessions.next_try(&mut self.cx), request);
        }
    }

    /// Returns the pairing, live or over.
    pub(super) fn record(&self) -> Option<&PairingRecord> {
        match &self.phase {
            Phase::Idle(idle) => idle.record(),
            Phase::Making(..) => None,
            Phase::Paired(paired) => Some(paired.record()),
            Phase::Revoking(revoking) => Some(revoking.record()),
        }
    }
}
