//! The phases and the ways from one to another.

use std::sync::Arc;
use std::time::Duration;

use pawl_proto::Text;
use pawl_proto::local::{PairRequest, Problem};
use pawl_proto::message::Cause;
use pawl_proto::record::DeviceFact;

use super::callers::{self, Callers};
use super::context::Context;
use super::effect::{Effect, Ticket, Write};
use super::idle::Idle;
use super::input::{CallAnswer, CallFailure, Found, Gathered, LinkInput, MessageId, TpmAnswer, TpmFailure};
use super::orders::{self, Refused};
use super::paired::{self, Paired};
use super::pairing::{PairingError, Past};
use super::procedure::Outcome;
use super::receipts::Receipts;
use super::revocation::{self, Caller, Order, Revoking};
use super::session::{self, Creating, Failure, Sessions};
use super::start::{self, Start};
use super::time::earliest;
use crate::problem;
use crate::store::{PairingRecord, Revocation, Unfinished};
use crate::telemetry::event::SecurityEvent;

/// The phase of the device, and what runs beside it.
pub(super) struct Machine {
    pub(super) cx: Context,
    pub(super) phase: Phase,
    pub(super) sessions: Sessions,
    pub(super) receipts: Receipts,
    pub(super) refused: Refused,
    examination: Examination,
    pub(super) callers: Callers,
    /// A pairing that was cut short before its commit has taken its place.
    has_completed: bool,
    /// The device's past is known.
    has_past: bool,
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

/// The reading of disk and counter.
enum Examination {
    None,
    /// It is under way. Its result is of no use once an epoch is ended or a pairing created: that changes both.
    Reading(Ticket),
    /// The TPM did not answer; when to read again.
    Again(Duration),
    /// An earlier process was cut short between the stage of a pairing and its commit.
    Committing(Ticket, Box<Found>),
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
            examination: Examination::Reading(Ticket::START),
            has_completed: false,
            has_past: false,
            callers: Callers::default(),
        }
    }

    pub(super) fn run_due(&mut self) {
        if self.cx.is_due(self.examination.deadline()) {
            self.examine();
        }
        match &mut self.phase {
            Phase::Idle(idle) => {
                if let Some(request) = idle.take_due(self.cx.now.boot) {
                    self.sessions.begin_unattended(&mut self.cx, request);
                    self.show_session();
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
            self.session_failed(failure);
        }
        if let Phase::Creating(creating, _) = &mut self.phase
            && let Some(outcome) = creating.procedure.run(&mut self.cx)
        {
            self.pairing_created(outcome);
        }
        self.receipts.run_due(&mut self.cx);
    }

    /// Handles what was found. A pairing that was staged takes its place first.
    pub(super) fn found(&mut self, ticket: Ticket, found: Found) {
        if !self.examination.is_reading(ticket) {
            return;
        }
        self.examination = Examination::None;
        match found.unfinished {
            Unfinished::Staged => {
                let commit = self.cx.write(Write::Commit);
                self.examination = Examination::Committing(commit, Box::new(found));
                return;
            }
            Unfinished::Scraps => drop(self.cx.write(Write::DiscardUnfinished)),
            // The space that an earlier process reserved. A session reserves its own.
            Unfinished::Nothing if ticket == Ticket::START => drop(self.cx.write(Write::Release)),
            Unfinished::Nothing | Unfinished::Approved(_) => {}
        }
        self.enter(found);
    }

    /// Handles the commit of a pairing that was staged.
    fn committed(&mut self, ticket: Ticket, outcome: &Result<(), String>) {
        if !matches!(self.examination, Examination::Committing(commit, _) if commit == ticket) {
            return;
        }
        let Examination::Committing(_, found) = std::mem::replace(&mut self.examination, Examination::None)
        else {
            return;
        };
        match outcome {
            Ok(()) => {
                self.has_completed = true;
                self.examine();
            }
            Err(error) => {
                tracing::error!(error, "a granted pairing cannot take its place yet");
                self.enter(*found);
            }
        }
    }

    /// Enters the phase that follows from disk and counter.
    fn enter(&mut self, found: Found) {
        if std::mem::take(&mut self.has_completed)
            && let Ok(Some(PairingRecord { epoch, pairing, scopes, .. })) = &found.pairing
        {
            tracing::warn!("a granted pairing was cut short; it takes the place of the old one");
            self.cx.security(SecurityEvent::PAIRED, Some(*epoch), format!("pairing {pairing}"));
            let fact = DeviceFact::Paired { pairing: *pairing, scopes: scopes.clone() };
            self.cx.record(Some(*epoch), None, fact);
        }
        if !self.has_past {
            self.has_past = true;
            self.sessions.set_past(Past::found(&found));
        }
        self.leave();
        let start = start::decide(&found, self.cx.now.unix);
        if !self.sessions.asks() {
            match start::approval(&found) {
                Some((approved, statement)) => {
                    tracing::warn!("resuming the approved pairing");
                    let ends_epoch = start::may_have_keys(&found);
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
        self.create_granted();
    }

    /// Handles that the TPM did not tell its counter.
    pub(super) fn not_found(&mut self, ticket: Ticket, failure: &TpmFailure) {
        if !self.examination.is_reading(ticket) {
            return;
        }
        tracing::error!(error = failure.text, remedy = failure.remedy, "cannot read the epoch counter");
        self.examination = Examination::Again(self.cx.after(EXAMINE_AGAIN));
    }

    fn examine(&mut self) {
        let ticket = self.cx.ticket();
        self.cx.push(Effect::Examine(ticket));
        self.examination = Examination::Reading(ticket);
    }

    /// Returns when disk and counter are read again.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let creating = match &self.phase {
            Phase::Creating(creating, _) => creating.procedure.deadline(),
            _ => None,
        };
        earliest([self.examination.deadline(), self.sessions.deadline(), self.receipts.deadline(), creating])
    }

    /// Returns whether a pairing that an earlier process staged has yet to take its place.
    pub(super) fn is_committing(&self) -> bool {
        matches!(self.examination, Examination::Committing(..))
    }

    /// Returns whether the phase is about to follow from disk and counter.
    pub(super) fn is_examining(&self) -> bool {
        matches!(self.examination, Examination::Committing(..) | Examination::Reading(_))
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
            Phase::Idle(_) | Phase::Creating(..) if receipt.is_some() => self.receipts.deliver(&self.cx),
            Phase::Idle(_) | Phase::Creating(..) => {}
        }
    }

    pub(super) fn called(&mut self, ticket: Ticket, answer: Result<CallAnswer, CallFailure>) {
        let Some(Outcome::Called(answer)) = self.resume(ticket, Outcome::Called(answer)) else { return };
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
        self.committed(ticket, outcome);
        match self.sessions.written(ticket, outcome) {
            Some(Ok(())) => self.end_old_pairing(),
            Some(Err(failure)) => self.session_failed(*failure),
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
                self.examine();
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
        self.examination = Examination::None;
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
                self.create_granted();
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
            Phase::Revoking(_) | Phase::Creating(..) => {}
        }
        self.create_granted();
    }

    /// Creates the approved pairing, once the old one has ended.
    fn create_granted(&mut self) {
        let Phase::Idle(idle) = &self.phase else { return };
        let idle = idle.clone();
        if let Some(creating) = self.sessions.create(&mut self.cx) {
            self.examination = Examination::None;
            self.phase = Phase::Creating(Box::new(creating), idle);
        }
    }

    fn pairing_created(&mut self, outcome: Result<(), PairingError>) {
        let Err(error) = outcome else {
            if let Phase::Creating(creating, _) = &self.phase {
                self.sessions.created(creating);
            }
            return self.examine();
        };
        let idle = Box::new(Idle::unpaired(problem::unpaired()));
        let Phase::Creating(creating, mut idle) = std::mem::replace(&mut self.phase, Phase::Idle(idle))
        else {
            return;
        };
        let problem = error.problem(creating.unattended.is_none());
        idle.failed(problem.clone(), false);
        if let Some(request) = creating.unattended.clone() {
            let time = self.sessions.next_try(&mut self.cx);
            idle.retry_at(time, request);
        }
        match creating.granted() {
            None => self.become_idle(*idle),
            Some(record) => {
                let reason = format!("the device could not store the pairing: {}", problem.reason);
                let order = Order { cause: Cause::Recovery, event: None, reason: Text::lossy(&reason) };
                let revoking = Revoking::begin(&mut self.cx, record, order, false, None, None);
                self.phase = Phase::Revoking(Box::new(revoking.then(*idle)));
            }
        }
        self.cx.write(Write::DiscardUnfinished);
        session::fail(&mut self.cx, &creating.view, problem);
    }

    /// Handles a session of which nothing came. A live pairing goes on; where there is none, the reason is shown, and an
    /// unattended session is opened again, unless a person is all that is missing.
    fn session_failed(&mut self, failure: Failure) {
        let Failure { view, problem, unattended, wants_person } = failure;
        session::fail(&mut self.cx, &view, problem.clone());
        self.without_session(problem, unattended, wants_person);
    }

    /// Shows without a live pairing why no session is open any more.
    pub(super) fn without_session(
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
            Phase::Creating(..) => None,
            Phase::Paired(paired) => Some(paired.record()),
            Phase::Revoking(revoking) => Some(revoking.record()),
        }
    }
}

impl Examination {
    fn is_reading(&self, ticket: Ticket) -> bool {
        matches!(self, Self::Reading(reading) if *reading == ticket)
    }

    fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Again(at) => Some(*at),
            Self::None | Self::Reading(_) | Self::Committing(..) => None,
        }
    }
}
