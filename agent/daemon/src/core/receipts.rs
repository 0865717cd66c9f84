//! Receipts: the TPM makes them, and the daemon stores each until the control plane has confirmed it over HTTPS (status 200 or
//! 204).
//!
//! A PUBACK is no confirmation: the broker may have no subscriber, or may lose the message.
//!
//! The core retries the write of a receipt until it succeeds. Only after that it records in the revocation that the receipt was
//! made: a start that finds neither makes the receipt again.

mod draft;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pawl_proto::Epoch;

use super::common::Ticket;
use super::context::Context;
use super::effect::{Call, Effect, Write};
use super::input::{CallAnswer, CallFailure, TpmAnswer, TpmFailure};
use super::time::earliest;
use crate::backoff::Backoff;
use crate::record::{PairingRecord, Revocation};
use crate::telemetry::event::SecurityEvent;
use draft::{Draft, LONGEST_RETRY, backoff};

/// The longest pause while an approved pairing waits for a receipt: its session expires after minutes.
const LONGEST_RETRY_BEFORE_PAIRING: Duration = Duration::from_secs(5);

/// The receipts that the control plane does not have yet, by the epoch that ended.
#[derive(Default)]
pub(super) struct Receipts {
    drafts: BTreeMap<Epoch, Draft>,
    waiting: BTreeMap<Epoch, Waiting>,
}

/// A receipt that was made.
struct Waiting {
    message: Vec<u8>,
    /// The state of its write; none if it is on the disk.
    unstored: Option<Unstored>,
    /// When to submit it, on CLOCK_BOOTTIME; none while it is published over the link or a call is in progress.
    due: Option<Duration>,
    call: Option<Ticket>,
    backoff: Backoff,
}

/// A receipt that is not on the disk yet.
struct Unstored {
    /// The revocation to write after the receipt.
    revocation: Revocation,
    /// The write in progress; none while the next one is scheduled.
    writing: Option<Ticket>,
    retry: Option<Duration>,
    backoff: Backoff,
}

/// A receipt that has just been made.
#[derive(Debug)]
pub(super) struct Made {
    /// The counter's value that it certifies.
    pub(super) epoch: Epoch,
    /// The signed receipt, encoded.
    pub(super) message: Vec<u8>,
    /// The write of the receipt.
    pub(super) stored: Ticket,
}

impl Receipts {
    /// Adds the receipts that an earlier process stored, and submits them.
    pub(super) fn found(&mut self, cx: &Context, receipts: Vec<(Epoch, Vec<u8>)>) {
        for (ended, message) in receipts {
            self.waiting.entry(ended).or_insert_with(|| Waiting::new(message, None, Some(cx.now.boot)));
        }
    }

    /// Has the TPM make the receipt of an epoch that ended.
    pub(super) fn make(&mut self, cx: &mut Context, record: Arc<PairingRecord>, revocation: Revocation) {
        self.drafts.insert(record.epoch, Draft::begin(cx, record, revocation));
    }

    /// Handles the TPM's answer, if it is about a receipt. Returns the epoch that ended, with its receipt, or without one if the
    /// TPM failed.
    pub(super) fn tpm(
        &mut self,
        cx: &mut Context,
        ticket: Ticket,
        answer: &Result<TpmAnswer, TpmFailure>,
    ) -> Option<(Epoch, Option<Made>)> {
        let asked = |draft: &&mut Draft| draft.is_waiting_for(ticket);
        let draft = self.drafts.values_mut().find(asked)?;
        let ended = draft.record.epoch;
        match draft.advance(cx, answer) {
            Ok(None) => None,
            Ok(Some((epoch, message))) => {
                let revocation = Revocation { receipted: true, ..draft.revocation.clone() };
                let stored = cx.write(Write::Receipt(ended, message.clone()));
                self.drafts.remove(&ended);
                let unstored =
                    Unstored { revocation, writing: Some(stored), retry: None, backoff: backoff() };
                self.waiting.insert(ended, Waiting::new(message.clone(), Some(unstored), None));
                Some((ended, Some(Made { epoch, message, stored })))
            }
            Err(failure) => {
                tracing::error!(error = failure.text, "the TPM did not make the receipt; it is asked again");
                draft.failed(cx, failure);
                Some((ended, None))
            }
        }
    }

    /// Handles the result of a write, if it is the write of a receipt.
    pub(super) fn written(&mut self, cx: &mut Context, ticket: Ticket, outcome: &Result<(), String>) {
        let written = |unstored: &Unstored| unstored.writing == Some(ticket);
        let mut waiting = self.waiting.values_mut();
        let Some(waiting) = waiting.find(|waiting| waiting.unstored.as_ref().is_some_and(written)) else {
            return;
        };
        match outcome {
            Ok(()) => waiting.mark_stored(cx),
            Err(_) => {
                if let Some(unstored) = &mut waiting.unstored {
                    unstored.writing = None;
                    unstored.retry = Some(cx.retry(&mut unstored.backoff));
                }
            }
        }
    }

    /// Marks a receipt as stored if the control plane has confirmed it: a start must not make another one.
    pub(super) fn taken(
        &mut self,
        cx: &mut Context,
        ticket: Ticket,
        answer: &Result<CallAnswer, CallFailure>,
    ) {
        let mut waiting = self.waiting.values_mut();
        if let (Ok(_), Some(waiting)) = (answer, waiting.find(|waiting| waiting.call == Some(ticket))) {
            waiting.mark_stored(cx);
        }
    }

    /// Submits the receipts over HTTPS that are not being submitted, because the link carries none any more.
    pub(super) fn deliver(&mut self, cx: &Context) {
        for waiting in self.waiting.values_mut().filter(|waiting| waiting.call.is_none()) {
            waiting.due = Some(waiting.due.map_or(cx.now.boot, |due| due.min(cx.now.boot)));
        }
    }

    /// Handles the control plane's answer, if it is about a receipt.
    pub(super) fn called(
        &mut self,
        cx: &mut Context,
        ticket: Ticket,
        answer: &Result<CallAnswer, CallFailure>,
    ) {
        let called = |(_, waiting): &(&Epoch, &mut Waiting)| waiting.call == Some(ticket);
        let Some((ended, waiting)) = self.waiting.iter_mut().find(called) else { return };
        let ended = *ended;
        waiting.call = None;
        match answer {
            Ok(_) => {
                self.waiting.remove(&ended);
                cx.write(Write::RemoveReceipt(ended));
                let text = "the control plane has the receipt".to_owned();
                cx.security(SecurityEvent::RECEIPT_TAKEN, Some(ended), text);
            }
            Err(failure) if failure.is_transient => {
                tracing::debug!(error = failure.text, epoch = %ended, "a receipt waits for the control plane");
                waiting.due = Some(cx.retry(&mut waiting.backoff));
            }
            Err(failure) => {
                tracing::error!(
                    error = failure.text, epoch = %ended,
                    "the control plane refuses the receipt; it is kept and submitted again"
                );
                waiting.due = Some(cx.after(LONGEST_RETRY));
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        let drafts = self.drafts.values().map(Draft::deadline);
        let stored = self.waiting.values().map(|waiting| waiting.unstored.as_ref()?.retry);
        earliest(drafts.chain(stored).chain(self.waiting.values().map(|waiting| waiting.due)))
    }

    /// Runs everything that is due.
    pub(super) fn run_due(&mut self, cx: &mut Context) {
        for draft in self.drafts.values_mut() {
            draft.run_due(cx);
        }
        for (ended, waiting) in &mut self.waiting {
            if let Some(unstored) = &mut waiting.unstored
                && cx.is_due(unstored.retry)
            {
                unstored.retry = None;
                unstored.writing = Some(cx.write(Write::Receipt(*ended, waiting.message.clone())));
            }
            if cx.is_due(waiting.due) {
                let ticket = cx.ticket();
                (waiting.due, waiting.call) = (None, Some(ticket));
                cx.push(Effect::Call(ticket, Call::Receipt(waiting.message.clone())));
            }
        }
    }

    /// Returns whether a receipt is not on the disk and the TPM can still make it. Without its counter the TPM could not, and the
    /// control plane would count the pairing as live.
    pub(super) fn need_counter(&self) -> bool {
        self.drafts.values().any(Draft::may_come)
            || self.waiting.values().any(|waiting| waiting.unstored.is_some())
    }

    /// Returns whether an approved pairing has to wait, as in [`need_counter`](Self::need_counter), and retries soon. The
    /// commit of a pairing replaces the disk's only note of a receipt that is not made yet: a start after it would not make
    /// that receipt.
    pub(super) fn delay_pairing(&mut self, cx: &Context) -> bool {
        if !self.need_counter() {
            return false;
        }
        let latest = cx.after(LONGEST_RETRY_BEFORE_PAIRING);
        for draft in self.drafts.values_mut() {
            draft.retry_by(latest);
        }
        let unstored = self.waiting.values_mut().filter_map(|waiting| waiting.unstored.as_mut());
        for retry in unstored.filter_map(|unstored| unstored.retry.as_mut()) {
            *retry = latest.min(*retry);
        }
        true
    }

    /// Returns whether the control plane still lacks a receipt.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || !self.drafts.is_empty()
    }
}

impl Waiting {
    fn new(message: Vec<u8>, unstored: Option<Unstored>, due: Option<Duration>) -> Self {
        Self { message, unstored, due, call: None, backoff: backoff() }
    }

    /// Records on the disk that the receipt was made.
    fn mark_stored(&mut self, cx: &mut Context) {
        if let Some(Unstored { revocation, .. }) = self.unstored.take() {
            cx.write(Write::Revocation(revocation));
        }
    }
}
