//! The end of an epoch, from the order to the receipt:
//!
//! 1. the gate closes, and the executor zeroizes memory;
//! 2. TPM2_NV_Increment begins: with it every copy of the keys is dead. After a refusal it is tried again until the TPM does it;
//! 3. the daemon wakes holders, and has the disk unlink keys and vault. Nothing here waits for the disk;
//! 4. [`receipts`](super::receipts) makes the receipt. Over a link that stands it goes to the broker, and the order is
//!    acknowledged; it is kept until the control plane has confirmed it.
//!
//! Recovery needs no journal: a pairing whose epoch is not the counter's value has been revoked, and a start that finds
//! this begins at step 3. The note that is written beside step 2 serves a process that is killed before the increment.

use std::sync::Arc;
use std::time::Duration;

use pawl_local_api::{Problem, Wiped};
use pawl_proto::Epoch;
use pawl_proto::message::DeviceState;

use super::common::{MessageId, ParcelKind, RequestId, Ticket};
use super::context::Context;
use super::effect::{Effect, Parcel, TpmCommand, Write};
use super::idle::Idle;
use super::input::{LinkInput, TpmAnswer, TpmFailure};
use super::orders::{self, Ending};
use super::receipts::{Made, Receipts};
use super::status::publish_status;
use super::time::earliest;
use crate::backoff::Backoff;
use crate::problem;
use crate::record::{PairingRecord, Revocation};
use crate::telemetry::event::SecurityEvent;

/// The increments that are tried in quick succession, and the pause between them.
const QUICK_TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(50);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// The daemon wakes holders after this time even if the TPM has not answered.
const TPM_PATIENCE: Duration = Duration::from_millis(250);
/// How long the broker may take before the receipt goes over HTTPS, and the disk before a caller is answered.
const GRACE: Duration = Duration::from_secs(10);

/// A caller that is answered when an epoch has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Wipe(RequestId),
    Deprovision(RequestId),
}

/// An epoch that is being ended.
pub(super) struct Revoking {
    record: Arc<PairingRecord>,
    revocation: Revocation,
    step: Step,
    ordered_at: Duration,
    quick_tries: u32,
    backoff: Backoff,
    /// The TPM's last refusal to move the counter.
    refusal: Option<TpmFailure>,
    tell_by: Option<Duration>,
    is_unlinked: bool,
    /// The link to the broker stands.
    is_linked: bool,
    message: Option<MessageId>,
    callers: Vec<Caller>,
    /// What the device is afterwards; a revoked one where this says nothing.
    after: Option<Box<Idle>>,
}

enum Step {
    Incrementing(Ticket),
    /// The next try of the increment.
    Waiting(Duration),
    /// The TPM makes the receipt.
    Certifying,
    /// The receipt is on its way to the disk, and to the broker where the link stands.
    Delivering {
        made: Made,
        is_stored: bool,
        until: Duration,
    },
    Over,
}

/// What the end of an epoch asks of the device.
pub(super) enum Outcome {
    Going,
    /// Answers for those who wait.
    Answer(Vec<Caller>, Result<Wiped, Problem>),
    /// All is done that the broker's connection is needed for.
    Over(Vec<Caller>, Wiped),
}

impl Revoking {
    /// Begins with step 1. `is_linked`: the connection to the broker stands.
    pub(super) fn begin(
        cx: &mut Context,
        record: Arc<PairingRecord>,
        order: Ending,
        is_linked: bool,
        message: Option<MessageId>,
        caller: Option<Caller>,
    ) -> Self {
        let revocation = order.into_revocation(record.epoch, cx.now.unix);
        cx.close_gate(problem::revoked(&revocation));
        let ticket = cx.tpm(TpmCommand::Increment);
        cx.write(Write::RevocationNote(revocation.clone()));
        let mut revoking = Self::new(cx, record, revocation, Step::Incrementing(ticket));
        revoking.tell_by = Some(cx.after(TPM_PATIENCE));
        (revoking.is_linked, revoking.message) = (is_linked, message);
        revoking.callers.extend(caller);
        revoking
    }

    /// Begins with step 3: the counter was found past the pairing.
    pub(super) fn finish(
        cx: &mut Context,
        receipts: &mut Receipts,
        record: Arc<PairingRecord>,
        revocation: Revocation,
    ) -> Self {
        tracing::warn!(epoch = %record.epoch, "the pairing's epoch is over; finishing the wipe");
        let revocation = Revocation { counted: true, ..revocation };
        cx.close_gate(problem::revoked(&revocation));
        let mut revoking = Self::new(cx, record, revocation, Step::Certifying);
        revoking.counted(cx, receipts);
        revoking
    }

    fn new(cx: &Context, record: Arc<PairingRecord>, revocation: Revocation, step: Step) -> Self {
        Self {
            record,
            revocation,
            step,
            ordered_at: cx.now.boot,
            quick_tries: 1,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            refusal: None,
            tell_by: None,
            is_unlinked: false,
            is_linked: false,
            message: None,
            callers: Vec::new(),
            after: None,
        }
    }

    /// Sets what the device is once the epoch has ended.
    pub(super) fn then(mut self, idle: Idle) -> Self {
        self.after = Some(Box::new(idle));
        self
    }

    /// Handles the TPM's answer, if it is to the increment.
    pub(super) fn tpm(
        &mut self,
        cx: &mut Context,
        receipts: &mut Receipts,
        ticket: Ticket,
        answer: &Result<TpmAnswer, TpmFailure>,
    ) -> Outcome {
        if !matches!(self.step, Step::Incrementing(expected) if expected == ticket) {
            return Outcome::Going;
        }
        match answer {
            Ok(_) => {
                let to_dead = cx.now.boot.saturating_sub(self.ordered_at).as_micros();
                let text = format!(
                    "the pairing has ended: {}; to_dead_us={to_dead}",
                    orders::reason(&self.revocation)
                );
                let event = SecurityEvent::of_wipe(self.revocation.cause);
                cx.security(event, Some(self.record.epoch), text);
                if self.refusal.take().is_some() {
                    cx.close_gate(problem::revoked(&self.revocation));
                }
                self.revocation.counted = true;
                self.counted(cx, receipts);
                Outcome::Going
            }
            Err(failure) => self.refused(cx, failure.clone()),
        }
    }

    /// Steps 3 and 4.
    fn counted(&mut self, cx: &mut Context, receipts: &mut Receipts) {
        self.step = Step::Certifying;
        receipts.make(cx, Arc::clone(&self.record), self.revocation.clone());
        self.tell(cx);
        self.unlink(cx);
    }

    fn tell(&mut self, cx: &mut Context) {
        self.tell_by = None;
        cx.push(Effect::TellHolders);
    }

    fn unlink(&mut self, cx: &mut Context) {
        cx.write(Write::Revocation(self.revocation.clone()));
        if !std::mem::replace(&mut self.is_unlinked, true) {
            cx.write(Write::DestroyKeys);
        }
    }

    /// The TPM did not move the counter. The keys go all the same, and the increment is tried again for as long as it
    /// takes.
    fn refused(&mut self, cx: &mut Context, failure: TpmFailure) -> Outcome {
        tracing::warn!(error = failure.text, "the TPM did not move the epoch counter; trying again");
        if self.tell_by.is_some() {
            self.tell(cx);
        }
        if !self.is_unlinked {
            self.unlink(cx);
        }
        if self.quick_tries < QUICK_TRIES {
            self.quick_tries += 1;
            self.step = Step::Waiting(cx.after(PAUSE));
            return Outcome::Going;
        }
        let problem = problem::counter_owed(&failure.text, &failure.remedy);
        self.refusal = Some(failure);
        self.step = Step::Waiting(cx.retry(&mut self.backoff));
        cx.close_gate(problem.clone());
        Outcome::Answer(std::mem::take(&mut self.callers), Err(problem))
    }

    /// Handles another caller's request for the end that is under way. If the TPM has refused the increment, it is tried
    /// again at once and the caller gets that refusal.
    pub(super) fn ask(&mut self, cx: &mut Context, caller: Caller) -> Outcome {
        match (&self.step, &self.refusal) {
            (Step::Waiting(_), Some(refusal)) => {
                let problem = problem::counter_owed(&refusal.text, &refusal.remedy);
                self.increment(cx);
                Outcome::Answer(vec![caller], Err(problem))
            }
            (Step::Incrementing(_), Some(refusal)) => {
                Outcome::Answer(vec![caller], Err(problem::counter_owed(&refusal.text, &refusal.remedy)))
            }
            _ => {
                self.callers.push(caller);
                Outcome::Going
            }
        }
    }

    fn increment(&mut self, cx: &mut Context) {
        self.step = Step::Incrementing(cx.tpm(TpmCommand::Increment));
    }

    /// The receipt was made, or the TPM did not make it yet: then [`Receipts`] tries again by itself.
    pub(super) fn receipt(&mut self, cx: &mut Context, ended: Epoch, made: Option<Made>) -> Outcome {
        if ended != self.record.epoch || !matches!(self.step, Step::Certifying) {
            return Outcome::Going;
        }
        let Some(made) = made else {
            return self.over(None);
        };
        self.revocation.receipted = true;
        if self.is_linked {
            let kind = ParcelKind::Receipt(ended);
            cx.push(Effect::Publish(Parcel { kind, payload: made.message.clone() }));
        }
        self.step = Step::Delivering { made, is_stored: false, until: cx.after(GRACE) };
        Outcome::Going
    }

    /// Handles the result of a write, if it is the receipt's.
    pub(super) fn written(&mut self, ticket: Ticket) -> Outcome {
        match &mut self.step {
            Step::Delivering { made, is_stored, .. } if made.stored == ticket => *is_stored = true,
            _ => return Outcome::Going,
        }
        self.proceed()
    }

    /// Handles what the link tells.
    pub(super) fn link(&mut self, cx: &mut Context, input: &LinkInput) -> Outcome {
        match input {
            LinkInput::Delivered(ParcelKind::Receipt(epoch)) if *epoch == self.record.epoch => {
                if let Some(id) = self.message.take() {
                    cx.push(Effect::Acknowledge(id));
                }
                self.is_linked = false;
            }
            LinkInput::Undelivered(ParcelKind::Receipt(epoch)) if *epoch == self.record.epoch => {
                tracing::warn!("the broker has nobody who takes the receipt; it goes over HTTPS");
                self.is_linked = false;
            }
            LinkInput::Lost(_) => self.is_linked = false,
            _ => return Outcome::Going,
        }
        self.proceed()
    }

    /// Ends this phase once the receipt is on the disk and nothing more goes over the link.
    fn proceed(&mut self) -> Outcome {
        match &self.step {
            Step::Delivering { made, is_stored: true, .. } if !self.is_linked => self.over(Some(made.epoch)),
            _ => Outcome::Going,
        }
    }

    /// `epoch`: the counter's value. Without a receipt it is not known; it has moved on by at least one.
    fn over(&mut self, epoch: Option<Epoch>) -> Outcome {
        self.step = Step::Over;
        let ended = self.record.epoch;
        let epoch = epoch.unwrap_or(Epoch(ended.0.saturating_add(1)));
        Outcome::Over(std::mem::take(&mut self.callers), Wiped { ended, epoch })
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        let step = match &self.step {
            Step::Waiting(until) | Step::Delivering { until, .. } => Some(*until),
            Step::Incrementing(_) | Step::Certifying | Step::Over => None,
        };
        earliest([self.tell_by, step])
    }

    /// Does what is due.
    pub(super) fn run_due(&mut self, cx: &mut Context) -> Outcome {
        if cx.is_due(self.tell_by) {
            self.tell(cx);
        }
        match &self.step {
            Step::Waiting(until) if cx.is_due(Some(*until)) => {
                self.increment(cx);
                Outcome::Going
            }
            Step::Delivering { until, made, .. } if cx.is_due(Some(*until)) => self.over(Some(made.epoch)),
            _ => Outcome::Going,
        }
    }

    /// Returns what the device is once this is over.
    pub(super) fn into_idle(self, now: Duration) -> Idle {
        let record = PairingRecord::clone(&self.record);
        match self.after {
            Some(idle) => *idle,
            None => Idle::revoked(record, self.revocation, now),
        }
    }

    pub(super) fn announce(&self, cx: &mut Context) {
        if self.is_linked {
            publish_status(cx, &self.record, DeviceState::Revoked, true);
        }
    }

    pub(super) fn record(&self) -> &Arc<PairingRecord> {
        &self.record
    }
}
