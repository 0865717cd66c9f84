//! The end of an epoch, from the order to the receipt:
//!
//! 1. The gate closes, and the executor zeroizes its memory.
//! 2. TPM2_NV_Increment begins. After it, the TPM refuses every copy of the keys. If the TPM refuses the increment, the core
//!    retries until it succeeds.
//! 3. The core wakes holders, and has keys and vault unlinked. It does not wait for the disk.
//! 4. [`receipts`](super::receipts) makes the receipt. If the link is connected, the core publishes the receipt, and acknowledges
//!    the event at the broker's PUBACK. The receipt is stored until the control plane has confirmed it.
//!
//! Recovery needs no journal: if the counter is past a pairing's epoch, the pairing was revoked, and a start continues with step 3.
//! If a process is killed before the increment, the next one finds the note that is written in parallel to step 2.

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

/// Number of increments in quick succession, and the pause between them.
const QUICK_TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(50);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// The daemon wakes holders after this time even if the TPM has not answered.
const TPM_PATIENCE: Duration = Duration::from_millis(250);
/// How long to wait for the broker before the receipt goes over HTTPS, and for the disk before a caller is answered.
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
    /// The TPM's last refusal of the increment.
    refusal: Option<TpmFailure>,
    tell_by: Option<Duration>,
    is_unlinked: bool,
    /// Whether the link is connected, and the broker has not answered the receipt yet.
    is_linked: bool,
    /// The message of the event, to acknowledge at the broker's PUBACK.
    message: Option<MessageId>,
    callers: Vec<Caller>,
    /// The phase after the end; that of a revoked device if none.
    after: Option<Box<Idle>>,
}

enum Step {
    Incrementing(Ticket),
    /// When to retry the increment, on CLOCK_BOOTTIME.
    Waiting(Duration),
    /// The TPM makes the receipt.
    Certifying,
    /// The receipt is being written to the disk, and published if the link is connected.
    Delivering {
        made: Made,
        is_stored: bool,
        until: Duration,
    },
    Over,
}

/// What the machine has to do after an input.
pub(super) enum Outcome {
    /// Nothing.
    Going,
    /// Answer these callers.
    Answer(Vec<Caller>, Result<Wiped, Problem>),
    /// Enter the next phase, and answer these callers: the connection to the broker is not needed any more.
    Over(Vec<Caller>, Wiped),
}

impl Revoking {
    /// Begins with step 1. `is_linked`: the link is connected.
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

    /// Begins with step 3, because the counter is past the pairing's epoch.
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

    /// Sets the phase after the end of the epoch.
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

    /// Begins steps 3 and 4.
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

    /// Handles a refused increment: unlinks the keys all the same, and schedules the next increment, without a limit.
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

    /// Handles another caller's request to end the epoch. If the TPM has refused the increment, the core retries at once, and the
    /// caller gets that refusal.
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

    /// Handles a receipt that was made. If the TPM failed to make it, the phase ends, and [`Receipts`] retries in parallel to the
    /// next one.
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

    /// Handles the result of a write, if it is the write of the receipt.
    pub(super) fn written(&mut self, ticket: Ticket) -> Outcome {
        match &mut self.step {
            Step::Delivering { made, is_stored, .. } if made.stored == ticket => *is_stored = true,
            _ => return Outcome::Going,
        }
        self.proceed()
    }

    /// Handles an event of the link.
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

    /// Ends this phase if the receipt is on the disk and is not being published.
    fn proceed(&mut self) -> Outcome {
        match &self.step {
            Step::Delivering { made, is_stored: true, .. } if !self.is_linked => self.over(Some(made.epoch)),
            _ => Outcome::Going,
        }
    }

    /// Ends this phase. `epoch`: the counter's value. Without a receipt it is unknown, and at least one above the ended epoch.
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

    /// Runs everything that is due.
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

    /// Returns the phase after the end of the epoch.
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
