//! Verdicts on their way to the disk. A verdict is acknowledged once the disk has it: until then the broker keeps it, and
//! delivers it again over each new connection.

use std::collections::VecDeque;
use std::time::Duration;

use pawl_local_api::Problem;
use pawl_proto::message::{Standing, TrustTier, Verdict};
use pawl_proto::record::DeviceFact;
use pawl_proto::{Channel, Topic, signed};

use super::common::{MessageId, Ticket};
use super::context::Context;
use super::effect::{Effect, Write};
use crate::backoff::Backoff;
use crate::problem;
use crate::record::PairingRecord;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Verdicts that the disk does not have yet, oldest first.
pub(super) struct Keep {
    waiting: VecDeque<Unwritten>,
    writing: Option<Ticket>,
    retry: Option<Duration>,
    backoff: Backoff,
}

struct Unwritten {
    sequence: u64,
    message: Vec<u8>,
    has_lease: bool,
    /// It keeps the device from working.
    is_barring: bool,
    /// The messages that are acknowledged with it: its own, and those that it superseded.
    acknowledges: Vec<MessageId>,
}

impl Keep {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            writing: None,
            retry: None,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
        }
    }

    /// Has a verdict written. One with a lease, or one that bars the device, supersedes those that still wait.
    pub(super) fn add(
        &mut self,
        cx: &mut Context,
        sequence: u64,
        message: Vec<u8>,
        has_lease: bool,
        is_barring: bool,
        id: Option<MessageId>,
    ) {
        let mut acknowledges: Vec<MessageId> = id.into_iter().collect();
        if has_lease || is_barring {
            let kept = usize::from(self.writing.is_some());
            for superseded in self.waiting.drain(kept.min(self.waiting.len())..) {
                acknowledges.extend(superseded.acknowledges);
            }
        }
        self.waiting.push_back(Unwritten { sequence, message, has_lease, is_barring, acknowledges });
        self.write_next(cx);
    }

    /// Acknowledges a verdict that was delivered again together with the first unwritten one that is as new. Returns
    /// whether there is one.
    pub(super) fn acknowledge_with(&mut self, sequence: u64, id: MessageId) -> bool {
        let as_new = self.waiting.iter_mut().find(|unwritten| unwritten.sequence >= sequence);
        as_new.map(|unwritten| unwritten.acknowledges.push(id)).is_some()
    }

    fn write_next(&mut self, cx: &mut Context) {
        if self.writing.is_some() || self.retry.is_some() {
            return;
        }
        if let Some(Unwritten { sequence, message, has_lease, .. }) = self.waiting.front() {
            let write =
                Write::Verdict { sequence: *sequence, message: message.clone(), has_lease: *has_lease };
            self.writing = Some(cx.write(write));
        }
    }

    /// Handles the result of a write, if it is one of these.
    pub(super) fn written(&mut self, cx: &mut Context, ticket: Ticket, outcome: &Result<(), String>) {
        if self.writing != Some(ticket) {
            return;
        }
        self.writing = None;
        match outcome {
            Ok(()) => {
                self.backoff.reset();
                for id in self.waiting.pop_front().into_iter().flat_map(|written| written.acknowledges) {
                    cx.push(Effect::Acknowledge(id));
                }
            }
            Err(error) => {
                tracing::error!(
                    error,
                    "a verdict is not on the disk; it is not acknowledged, and written again"
                );
                // A full disk lets files be removed: a restart must not find the lease of a device that is barred.
                if self.waiting.front().is_some_and(|unwritten| unwritten.is_barring) {
                    cx.write(Write::RemoveLease);
                }
                self.retry = Some(cx.retry(&mut self.backoff));
            }
        }
        self.write_next(cx);
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.retry
    }

    /// Writes again, where that is due.
    pub(super) fn run_due(&mut self, cx: &mut Context) {
        if cx.is_due(self.retry) {
            self.retry = None;
            self.write_next(cx);
        }
    }
}

/// Verifies a kept verdict again: the disk is not trusted.
pub(super) fn kept(record: &PairingRecord, message: Option<Vec<u8>>) -> Option<Verdict> {
    let topic = Topic::new(record.device, Channel::Verdict);
    let verdict: Verdict = signed::verify(&message?, &topic, &record.order_keys)
        .inspect_err(|error| tracing::warn!(%error, "a kept verdict is damaged; the next one replaces it"))
        .ok()?;
    (verdict.pairing == record.pairing && verdict.epoch == record.epoch).then_some(verdict)
}

/// Returns why a verdict keeps the device from working; none when it does not.
pub(super) fn barring(verdict: &Verdict) -> Option<Problem> {
    let reasons = || verdict.reasons.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("; ");
    match (verdict.entitlement.standing, verdict.result) {
        (Standing::Suspended, _) => Some(problem::suspended(&reasons())),
        (Standing::Active, Some(TrustTier::Contraindicated)) => Some(problem::drifted(&reasons())),
        (Standing::Active, None | Some(TrustTier::Affirming | TrustTier::Warning)) => None,
        // A newer control plane may mean worse than what this version knows.
        (Standing::Active, Some(result)) => Some(problem::unknown_verdict(result.as_str(), &reasons())),
        (standing, _) => Some(problem::unknown_verdict(standing.as_str(), &reasons())),
    }
}

/// Returns the fact that a verdict arrived, with or without a lease.
pub(super) fn judged(verdict: &Verdict) -> DeviceFact {
    DeviceFact::Verdict {
        sequence: verdict.sequence,
        result: verdict.result,
        evidence: verdict.answers,
        lease: verdict.lease.as_ref().map(|lease| lease.clock),
    }
}
