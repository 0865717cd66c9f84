//! Writes verdicts to the disk. The daemon acknowledges a verdict after it was written: until then the broker keeps it, and
//! delivers it again on each new connection.

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
    /// Whether the verdict bars the device.
    is_barring: bool,
    /// The messages to acknowledge after the write: the verdict's own, and those of verdicts that it replaced.
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

    /// Queues a verdict for the disk. A verdict with a lease, or one that bars the device, replaces those that wait.
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

    /// Schedules the acknowledgement of a verdict that was delivered again: it follows the write of the first queued verdict that
    /// is not older. Returns false if there is none.
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

    /// Handles the result of a write, if it is the write of a verdict.
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
                    "cannot write a verdict to the disk; not acknowledging it yet, and retrying"
                );
                // A barred device must not find its lease after a restart. A full disk still removes files.
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

    /// Writes the next verdict, if a retry is due.
    pub(super) fn run_due(&mut self, cx: &mut Context) {
        if cx.is_due(self.retry) {
            self.retry = None;
            self.write_next(cx);
        }
    }
}

/// Verifies a verdict from the disk, which is not trusted. Returns none if it is invalid, or of another pairing or epoch.
pub(super) fn kept(record: &PairingRecord, message: Option<Vec<u8>>) -> Option<Verdict> {
    let topic = Topic::new(record.device, Channel::Verdict);
    let verdict: Verdict = signed::verify(&message?, &topic, &record.order_keys)
        .inspect_err(
            |error| tracing::warn!(%error, "a verdict on the disk is invalid; the next one replaces it"),
        )
        .ok()?;
    (verdict.pairing == record.pairing && verdict.epoch == record.epoch).then_some(verdict)
}

/// Returns why a verdict bars the device; none if it does not.
pub(super) fn barring(verdict: &Verdict) -> Option<Problem> {
    let reasons = || verdict.reasons.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("; ");
    match (verdict.entitlement.standing, verdict.result) {
        (Standing::Suspended, _) => Some(problem::suspended(&reasons())),
        (Standing::Active, Some(TrustTier::Contraindicated)) => Some(problem::drifted(&reasons())),
        (Standing::Active, None | Some(TrustTier::Affirming | TrustTier::Warning)) => None,
        // A value of a newer control plane may be worse than those that this version knows.
        (Standing::Active, Some(result)) => Some(problem::unknown_verdict(result.as_str(), &reasons())),
        (standing, _) => Some(problem::unknown_verdict(standing.as_str(), &reasons())),
    }
}

/// Returns the fact of a verdict, for the audit record.
pub(super) fn judged(verdict: &Verdict) -> DeviceFact {
    DeviceFact::Verdict {
        sequence: verdict.sequence,
        result: verdict.result,
        evidence: verdict.answers,
        lease: verdict.lease.as_ref().map(|lease| lease.clock),
    }
}
