//! A live pairing: its messages and verdicts, and through these its leases, reports and tokens.

use std::sync::Arc;
use std::time::Duration;

use pawl_proto::message::{Cause, DeviceState, Entitlement, Event, EventKind, Standing, Verdict};

use super::broker::Broker;
use super::common::{MessageId, ParcelKind, Ticket};
use super::context::Context;
use super::effect::{Effect, TpmCommand, Write};
use super::input::{CallAnswer, CallFailure, HeldToken, LinkInput, TpmAnswer, TpmFailure};
use super::keep::{Keep, barring, judged, kept};
use super::lease::{LeaseOutcome, Leases};
use super::orders::{self, Ending, Order, Refusal, Refused, Seen};
use super::procedure::Outcome as Answer;
use super::reports::Reports;
use super::status::publish_status;
use super::time::earliest;
use super::tokens::Tokens;
use crate::problem;
use crate::record::PairingRecord;

pub(super) struct Paired {
    record: Arc<PairingRecord>,
    pub(super) broker: Broker,
    seen: Seen,
    pub(super) verdict: Option<Verdict>,
    /// The entitlement in the newest verdict.
    pub(super) entitlement: Option<Entitlement>,
    pub(super) leases: Leases,
    keep: Keep,
    pub(super) reports: Reports,
    pub(super) tokens: Tokens,
    /// The comparison of TPM and pairing that is in progress.
    check: Option<Ticket>,
}

/// What the machine has to do after an input of a live pairing.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing.
    Stay,
    /// End the epoch, and acknowledge this message after that.
    Wipe(Ending, Option<MessageId>),
    /// Examine disk and counter: the counter does not have the pairing's epoch.
    Examine,
    /// Stop using the pairing: this TPM is not the one that it was created with.
    MovedDisk,
}

impl Paired {
    /// Starts a pairing: connects to its broker, and has the TPM check the stored lease.
    pub(super) fn start(
        cx: &mut Context,
        record: PairingRecord,
        verdict: Option<Vec<u8>>,
        lease: Option<Vec<u8>>,
    ) -> Self {
        let record = Arc::new(record);
        cx.push(Effect::Connect(Arc::clone(&record)));
        cx.close_gate(problem::waiting());
        let last = kept(&record, verdict);
        let leased = kept(&record, lease);
        let mut seen = Seen::default();
        for verdict in last.iter().chain(&leased) {
            seen.verdict = seen.verdict.max(verdict.sequence);
            cx.push(Effect::RaiseClock(verdict.time));
        }
        if let Some(verdict) = &last {
            cx.push(Effect::RecordsAcknowledged(verdict.records));
        }
        let newest = last.iter().chain(&leased).max_by_key(|verdict| verdict.sequence);
        let mut leases = Leases::new();
        let is_leased = leased.as_ref().is_some_and(|verdict| leases.replace(&record, verdict));
        match last.as_ref().and_then(barring) {
            Some(problem) => {
                leases.bar();
                cx.close_gate(problem);
            }
            None if is_leased => leases.attempt(cx),
            None => {}
        }
        Self {
            broker: Broker::of(&record),
            seen,
            entitlement: newest.map(|verdict| verdict.entitlement.clone()),
            leases,
            keep: Keep::new(),
            reports: Reports::new(last.as_ref().or(leased.as_ref())),
            tokens: Tokens::new(&cx.settings.tokens),
            check: None,
            verdict: last,
            record,
        }
    }

    /// Handles an event of the link.
    pub(super) fn link(&mut self, cx: &mut Context, refused: &mut Refused, input: LinkInput) -> Outcome {
        match input {
            LinkInput::Connected => {
                self.broker.connected();
                publish_status(cx, &self.record, state(cx), true);
                if self.reports.count() == 0 {
                    self.reports.report_now(cx);
                }
            }
            LinkInput::Lost(error) => {
                self.broker.lost(error);
                // The TPM may have refused the link key, which also ends the connection.
                self.check_tpm(cx);
            }
            LinkInput::Subscribed => self.broker.subscribed(),
            LinkInput::SubscriptionRefused(error) => self.broker.subscription_refused(cx, error),
            LinkInput::Message { topic, payload, id } => {
                return self.message(cx, refused, &topic, payload, id);
            }
            LinkInput::Delivered(ParcelKind::Posture(digest)) => {
                tracing::debug!(evidence = %digest, "the broker has the report");
            }
            LinkInput::Undelivered(ParcelKind::Posture(digest)) => self.reports.undelivered(cx, digest),
            LinkInput::Delivered(_) | LinkInput::Undelivered(_) => {}
        }
        Outcome::Stay
    }

    fn message(
        &mut self,
        cx: &mut Context,
        refused: &mut Refused,
        topic: &str,
        payload: Vec<u8>,
        id: Option<MessageId>,
    ) -> Outcome {
        match orders::verify(&self.record, &mut self.seen, topic, &payload) {
            Ok(Order::Event(Event { kind: EventKind::Revoke, id: event, reason, .. })) => {
                return Outcome::Wipe(Ending { cause: Cause::Revoke, event: Some(event), reason }, id);
            }
            Ok(Order::Event(Event { kind: EventKind::Repair, id: event, reason, .. })) => {
                return Outcome::Wipe(Ending { cause: Cause::Repair, event: Some(event), reason }, id);
            }
            Ok(Order::Event(Event { kind: EventKind::Refresh, .. })) => {
                tracing::debug!("the control plane orders a report");
                self.reports.report_now(cx);
            }
            Ok(Order::Event(event)) => orders::ignore(cx, &event),
            Ok(Order::Past) => tracing::debug!("ignoring an event for an earlier epoch"),
            Ok(Order::Verdict(verdict)) => {
                self.judged(cx, *verdict, payload, id);
                return Outcome::Stay;
            }
            Ok(Order::Repeated(sequence)) => {
                if id.is_some_and(|id| self.keep.acknowledge_with(sequence, id)) {
                    tracing::debug!(
                        sequence,
                        "the broker delivers a verdict again that is not on the disk yet"
                    );
                    return Outcome::Stay;
                }
                refused.count(cx, Refusal::Replayed);
            }
            Err(refusal) => refused.count(cx, refusal),
        }
        if let Some(id) = id {
            cx.push(Effect::Acknowledge(id));
        }
        Outcome::Stay
    }

    /// Handles a new verdict. Drops the tokens that the operator does not grant any more before it does anything else.
    fn judged(&mut self, cx: &mut Context, verdict: Verdict, message: Vec<u8>, id: Option<MessageId>) {
        tracing::info!(
            result = verdict.result.map(|result| result.to_string()), standing = ?verdict.entitlement.standing,
            sequence = verdict.sequence, interval_s = verdict.interval, leased = verdict.lease.is_some(),
            "verdict"
        );
        self.restrict(cx, &verdict.entitlement);
        let barring = barring(&verdict);
        if let Some(problem) = &barring {
            cx.close_gate(problem.clone());
            cx.push(Effect::TellHolders);
            self.leases.bar();
        }
        cx.push(Effect::RaiseClock(verdict.time));
        self.keep.add(cx, verdict.sequence, message, verdict.lease.is_some(), barring.is_some(), id);
        let quoted_at = self.reports.quoted_at(&verdict);
        cx.record(Some(verdict.epoch), quoted_at, judged(&verdict));
        cx.push(Effect::RecordsAcknowledged(verdict.records));
        self.reports.answered(cx, &verdict);
        if barring.is_none() {
            if self.leases.replace(&self.record, &verdict) {
                self.leases.attempt(cx);
            } else if self.leases.is_barred() {
                // The operator has resumed the device, and the verdict has no lease yet.
                cx.close_gate(problem::waiting());
            }
        }
        self.plan_tokens(cx);
        self.verdict = Some(verdict);
    }

    /// Drops the tokens outside a new entitlement, in memory and then on the disk.
    fn restrict(&mut self, cx: &mut Context, entitlement: &Entitlement) {
        let dropped = self.tokens.restrict(entitlement);
        if self.entitlement.as_ref() != Some(entitlement) {
            let Entitlement { scopes, audiences, .. } = entitlement;
            tracing::info!(?scopes, ?audiences, ?dropped, "the entitlement has changed");
        }
        self.entitlement = Some(entitlement.clone());
        if cx.is_open() {
            cx.push(Effect::RestrictGate(entitlement.clone()));
            if !dropped.is_empty() {
                cx.write(Write::Vault);
            }
        }
    }

    fn plan_tokens(&mut self, cx: &Context) {
        let (entitlement, device) = (self.granted(), self.record.device);
        self.tokens.plan(cx, &entitlement, device);
    }

    /// Returns what the operator grants; nothing before the first verdict.
    fn granted(&self) -> Entitlement {
        self.entitlement.clone().unwrap_or(Entitlement {
            standing: Standing::Suspended,
            scopes: Vec::new(),
            audiences: Vec::new(),
        })
    }

    /// Handles the TPM's answer to a command of this pairing.
    pub(super) fn tpm(
        &mut self,
        cx: &mut Context,
        ticket: Ticket,
        answer: Result<TpmAnswer, TpmFailure>,
    ) -> Outcome {
        if self.leases.is_trying(ticket) {
            let entitlement = self.granted();
            match self.leases.answered(cx, &self.record, entitlement, answer) {
                LeaseOutcome::Nothing | LeaseOutcome::Opened => {}
                LeaseOutcome::Renewed => {
                    self.tokens.lease_renewed(cx);
                    self.plan_tokens(cx);
                }
                LeaseOutcome::CheckTpm => self.check_tpm(cx),
            }
            return Outcome::Stay;
        }
        if self.check != Some(ticket) {
            return Outcome::Stay;
        }
        self.check = None;
        match answer {
            Ok(TpmAnswer::Checked(_, false)) => Outcome::MovedDisk,
            Ok(TpmAnswer::Checked(counter, true)) if counter != Some(self.record.epoch) => Outcome::Examine,
            Ok(_) => Outcome::Stay,
            Err(failure) => {
                tracing::warn!(error = failure.text, remedy = failure.remedy, "the TPM does not answer");
                Outcome::Stay
            }
        }
    }

    /// Compares counter and attestation key with the pairing, one comparison at a time.
    fn check_tpm(&mut self, cx: &mut Context) {
        if self.check.is_none() {
            self.check = Some(cx.tpm(TpmCommand::Check(Arc::clone(&self.record))));
        }
    }

    /// Handles the answer to a token request.
    pub(super) fn called(
        &mut self,
        cx: &mut Context,
        ticket: Ticket,
        answer: Result<CallAnswer, CallFailure>,
    ) {
        let outcome = match answer {
            Ok(CallAnswer::Token(token)) => Ok(token),
            Ok(_) => return,
            Err(failure) => Err(failure.text),
        };
        let (entitlement, pairing) = (self.granted(), (self.record.device, self.record.epoch));
        self.tokens.answered(cx, ticket, &entitlement, pairing, outcome);
    }

    pub(super) fn vault_opened(&mut self, cx: &Context, tokens: Vec<HeldToken>) {
        self.tokens.vault_opened(tokens);
        self.plan_tokens(cx);
    }

    /// Passes a result to the report in progress. Returns the result if the report does not await it.
    pub(super) fn resume(&mut self, ticket: Ticket, outcome: Option<Answer>) -> Option<Answer> {
        self.reports.resume(ticket, outcome)
    }

    pub(super) fn written(&mut self, cx: &mut Context, ticket: Ticket, outcome: &Result<(), String>) {
        self.keep.written(cx, ticket, outcome);
    }

    pub(super) fn clock_jumped(&mut self, cx: &Context) {
        if cx.is_open() {
            self.tokens.clock_jumped(cx);
        }
    }

    pub(super) fn deadline(&self, cx: &Context) -> Option<Duration> {
        earliest([
            cx.open_until(),
            self.leases.deadline(),
            self.keep.deadline(),
            self.reports.deadline().filter(|_| self.broker.is_connected()),
            self.tokens.deadline(cx),
            self.broker.deadline(),
        ])
    }

    /// Runs everything that is due.
    pub(super) fn run_due(&mut self, cx: &mut Context) {
        if cx.is_due(cx.open_until()) {
            cx.close_gate(problem::lease_expired());
            cx.push(Effect::TellHolders);
            self.reports.report_now(cx);
        }
        self.leases.run_due(cx);
        self.keep.run_due(cx);
        self.reports.run(cx, &self.record, self.broker.is_connected());
        self.tokens.run_due(cx);
        self.broker.run_due(cx);
    }

    pub(super) fn record(&self) -> &Arc<PairingRecord> {
        &self.record
    }
}

/// Returns the state of a paired device.
pub(super) fn state(cx: &Context) -> DeviceState {
    if cx.is_open() { DeviceState::Entitled } else { DeviceState::Lapsed }
}
