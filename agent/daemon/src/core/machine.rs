//! The phases and the ways from one to another.

use std::sync::Arc;
use std::time::Duration;

use pawl_local_api::PairRequest;

use super::callers::Caller;
use super::callers::{self, Callers};
use super::context::Context;
use super::effect::{Effect, Ticket, Write};
use super::examination::{Examination, Found};
use super::idle::Idle;
use super::input::{CallAnswer, CallFailure, Gathered, LinkInput, MessageId, TpmAnswer, TpmFailure};
use super::orders::{self, Ending, Refused};
use super::paired::{self, Paired};
use super::procedure::Outcome;
use super::receipts::Receipts;
use super::revocation::{self, Revoking};
use super::session::{Creating, Sessions};
use super::start::{self, Start};
use super::succession;
use super::time::earliest;
use crate::problem;
use crate::record::{PairingRecord, Revocation};

/// The phase of the device, and what runs beside it.
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
    /// No pairing, or one that is over.
    Idle(Box<Idle>),
    /// A pairing was approved, and is being created. What the device is if that fails stands beside it.
    Creating(Box<Creating>, Box<Idle>),
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

    pub(super) fn run_due(&mut self) {
        self.examination.run_due(&mut self.cx);
        match &mut self.phase {
            Phase::Idle(_) if self.callers.is_deprovisioning() => {}
            Phase::Idle(idle) => {
                if let Some(request) = idle.take_due(self.cx.now.boot) {
                    self.sessions.begin_unattended(&mut self.cx, request);
                    succession::show_session(self);
                }
            }
            Phase::Creating(..) => {}
            Phase::Paired(paired) => paired.run_due(&mut self.cx),
            Phase::Revoking(revoking) => {
                let outcome = revoking.run_due(&mut self.cx);
                self.revoking(outcome);
            }
        }
        if let Some(failure) = self.sessions.run(&mut self.cx) {
            succession::session_failed(self, failure);
        }
        if let Phase::Creating(creating, _) = &mut self.phase
            && let Some(outcome) = creating.procedure.run(&mut self.cx)
        {
            succession::created(self, outcome);
        }
        self.receipts.run_due(&mut self.cx);
        // A receipt that an approved pairing waited for may be on the disk now.
        succession::create(self);
    }

    /// Handles what was found on the disk and in the TPM.
    pub(super) fn found(&mut self, ticket: Ticket, found: Found) {
        if let Some(found) = self.examination.found(&mut self.cx, ticket, found) {
            self.enter(found);
        }
    }

    /// Enters the phase that follows from disk and counter.
    fn enter(&mut self, found: Found) {
        self.sessions.learn_past(&found);
        self.leave();
        let start = start::decide(&found, self.cx.now.unix);
        if !self.sessions.asks() {
            match start::approval(&found) {
                Some((approved, statement)) => {
                    tracing::warn!("resuming the approved pairing");
                    let ends_epoch = found.may_have_keys();
                    self.sessions.resume_approved(Box::new(approved.clone()), &statement, ends_epoch);
                }
                None if found.approved().is_some() => {
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
        succession::create(self);
    }

    /// Returns when something is due that runs beside the phases, or the creation of a pairing.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let creating = match &self.phase {
            Phase::Creating(creating, _) => creating.procedure.deadline(),
            _ => None,
        };
        earliest([self.examination.deadline(), self.sessions.deadline(), self.receipts.deadline(), creating])
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
        succession::show_session(self);
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
            Phase::Idle(_) | Phase::Creating(..) => {}
        }
    }

    /// Hands a result to the procedure that awaits it. Returns one that none awaits.
    fn resume(&mut self, ticket: Ticket, outcome: Outcome) -> Option<Outcome> {
        let rest = self.sessions.resume(ticket, outcome);
        match &mut self.phase {
            Phase::Creating(creating, _) => creating.procedure.resume(ticket, rest),
            Phase::Paired(paired) => paired.resume(ticket, rest),
            Phase::Idle(_) | Phase::Revoking(_) => rest,
        }
    }

    pub(super) fn gathered(&mut self, ticket: Ticket, outcome: Result<Gathered, String>) {
        self.resume(ticket, Outcome::Gathered(outcome));
    }

    pub(super) fn tpm(&mut self, ticket: Ticket, answer: Result<TpmAnswer, TpmFailure>) {
        let Some(Outcome::Tpm(answer)) = self.resume(ticket, Outcome::Tpm(answer)) else { return };
        if let Some(caller) = self.callers.take(ticket) {
            return callers::command_over(self, caller, answer);
        }
        let receipt = self.receipts.tpm(&mut self.cx, ticket, &answer);
        let is_about_receipt = receipt.is_some();
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
            Phase::Idle(_) | Phase::Creating(..) => {}
        }
        // The link of a pairing carries its own receipt only, while the pairing ends. It carries none that the TPM made later.
        if is_about_receipt && !matches!(self.phase, Phase::Revoking(_)) {
            self.receipts.deliver(&self.cx);
        }
    }

    pub(super) fn called(&mut self, ticket: Ticket, answer: Result<CallAnswer, CallFailure>) {
        let Some(Outcome::Called(answer)) = self.resume(ticket, Outcome::Called(answer)) else { return };
        self.receipts.taken(&mut self.cx, ticket, &answer);
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
        self.resume(ticket, Outcome::Written(outcome.clone()));
        if let Some(found) = self.examination.written(&mut self.cx, ticket, outcome) {
            self.enter(*found);
        }
        self.receipts.written(&mut self.cx, ticket, outcome);
        match self.sessions.written(ticket, outcome) {
            Some(Ok(())) => succession::approved(self),
            Some(Err(failure)) => succession::session_failed(self, *failure),
            None => {}
        }
        match &mut self.phase {
            Phase::Paired(paired) => paired.written(&mut self.cx, ticket, outcome),
            Phase::Revoking(revoking) => {
                let outcome = revoking.written(ticket);
                self.revoking(outcome);
            }
            Phase::Idle(_) | Phase::Creating(..) => {}
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
                self.sessions.poll();
            }
            paired::Outcome::Examine => {
                tracing::warn!("the epoch counter does not fit the pairing");
                self.cx.close_gate(problem::other_tpm());
                self.cx.push(Effect::TellHolders);
                self.examination.begin(&mut self.cx);
            }
            paired::Outcome::MovedDisk => self.moved_disk(),
        }
    }

    pub(super) fn moved_disk(&mut self) {
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
        order: Ending,
        message: Option<MessageId>,
        caller: Option<Caller>,
    ) {
        let is_linked = matches!(&self.phase, Phase::Paired(paired) if paired.broker.is_connected());
        let revoking = Revoking::begin(&mut self.cx, record, order, is_linked, message, caller);
        self.examination.abandon();
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
                succession::create(self);
            }
        }
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
