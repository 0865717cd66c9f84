//! Reports: when to make one, on which nonce, and what the next one builds on.

use std::sync::Arc;
use std::time::Duration;

use pawl_proto::message::Verdict;
use pawl_proto::{Digest, Nonce, encode};

use super::common::{ParcelKind, Ticket};
use super::context::Context;
use super::effect::{Effect, Parcel};
use super::evidence::{self, Acknowledged, Prepared, ReportError, Subject};
use super::procedure::{Outcome, Procedure};
use crate::backoff::Backoff;
use crate::record::Moment;
use crate::record::PairingRecord;

/// The schedule and the memory of one pairing's reports.
pub(super) struct Reports {
    nonce: Option<Nonce>,
    /// The handles of the NvPCRs that the control plane wants certified.
    nvpcrs: Vec<u32>,
    interval: Duration,
    due: Option<Duration>,
    /// A report was requested, and none was begun since: no verdict postpones it.
    is_requested: bool,
    last: Option<Duration>,
    /// What the last report told, until a verdict answers it.
    pending: Option<Acknowledged>,
    /// What the control plane has acknowledged.
    base: Option<Acknowledged>,
    making: Option<Procedure<Result<Prepared, ReportError>>>,
    sent: u64,
    backoff: Backoff,
}

/// Reports follow each other no faster, whatever is ordered.
const SHORTEST_GAP: Duration = Duration::from_millis(250);
/// A report that no verdict answers is followed by the next no sooner.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// No verdict is known: the control plane answers a report on this nonce, as on any stale one, with a fresh one.
const NO_NONCE: Nonce = Nonce([0; 32]);

impl Reports {
    /// Begins with the nonce of the last verdict, which may have been used; the control plane then answers with
    /// another.
    pub(super) fn new(last: Option<&Verdict>) -> Self {
        Self {
            nonce: last.map(|verdict| verdict.nonce),
            nvpcrs: last.map(|verdict| verdict.nvpcrs.clone()).unwrap_or_default(),
            interval: SHORTEST_INTERVAL,
            due: None,
            is_requested: false,
            last: None,
            pending: None,
            base: None,
            making: None,
            sent: 0,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
        }
    }

    /// Requests a report: it is due now, or [`SHORTEST_GAP`] after the last one. A report that is being made does not
    /// count: its quote may be older than the request.
    pub(super) fn report_now(&mut self, cx: &Context) {
        self.is_requested = true;
        let earliest = self.last.map_or(cx.now.boot, |last| last.saturating_add(SHORTEST_GAP));
        self.due = Some(earliest.max(cx.now.boot));
    }

    /// Returns when the next report is due; none while one is being made.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.due.filter(|_| self.making.is_none())
    }

    /// Submits the result that the report awaits. Returns one that it does not await.
    pub(super) fn resume(&mut self, ticket: Ticket, outcome: Option<Outcome>) -> Option<Outcome> {
        match &mut self.making {
            Some(making) => making.resume(ticket, outcome),
            None => outcome,
        }
    }

    /// Begins a report if one is due and the broker is connected, and continues one that was begun.
    pub(super) fn run(&mut self, cx: &mut Context, record: &Arc<PairingRecord>, is_connected: bool) {
        if is_connected && cx.is_due(self.deadline()) {
            (self.due, self.is_requested) = (None, false);
            let PairingRecord { device, pairing, epoch, .. } = **record;
            let subject = Subject { device, pairing, epoch, nonce: self.nonce.unwrap_or(NO_NONCE) };
            let (base, nvpcrs) = (self.base.clone(), self.nvpcrs.clone());
            self.making = Some(Procedure::new(cx, |port| async move {
                evidence::report(&port, subject, base.as_ref(), &nvpcrs).await
            }));
        }
        if let Some(outcome) = self.making.as_mut().and_then(|making| making.run(cx)) {
            self.making = None;
            self.made(cx, outcome);
        }
    }

    /// Publishes a report that was made.
    fn made(&mut self, cx: &mut Context, outcome: Result<Prepared, ReportError>) {
        let encoded = outcome.and_then(|Prepared { report, tells }| Ok((encode(&report)?, tells)));
        match encoded {
            Ok((payload, tells)) => {
                let digest: Digest = tells.digest;
                tracing::debug!(evidence = %digest, bytes = payload.len(), "report");
                cx.push(Effect::Publish(Parcel { kind: ParcelKind::Posture(digest), payload }));
                self.sent += 1;
                self.pending = Some(tells);
                self.last = Some(cx.now.boot);
                self.backoff.reset();
                if self.is_requested {
                    self.report_now(cx);
                } else {
                    self.due = Some(cx.after(self.interval.max(SHORTEST_INTERVAL)));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no report was made");
                (self.due, self.is_requested) = (Some(cx.retry(&mut self.backoff)), true);
            }
        }
    }

    /// Nobody has the report with this digest: a fresh one follows.
    pub(super) fn undelivered(&mut self, cx: &mut Context, digest: Digest) {
        if self.pending.as_ref().is_some_and(|pending| pending.digest == digest) {
            let retry = cx.retry(&mut self.backoff);
            self.due = Some(self.due.map_or(retry, |due| due.min(retry)));
            self.is_requested = true;
        }
    }

    /// Takes from a verdict what the next report needs.
    pub(super) fn answered(&mut self, cx: &Context, verdict: &Verdict) {
        self.nonce = Some(verdict.nonce);
        self.nvpcrs.clone_from(&verdict.nvpcrs);
        if verdict.whole {
            (self.base, self.pending) = (None, None);
        } else if verdict.result.is_some()
            && self.pending.as_ref().map(|pending| pending.digest) == verdict.answers
        {
            self.base = self.pending.take().or_else(|| self.base.take());
        }
        self.interval = Duration::from_secs(u64::from(verdict.interval));
        if verdict.interval == 0 || (self.is_requested && self.due.is_none() && self.making.is_none()) {
            self.report_now(cx);
        } else if !self.is_requested {
            self.due = Some(cx.after(self.interval));
        }
    }

    /// Returns when the report was quoted that this verdict answers.
    pub(super) fn quoted_at(&self, verdict: &Verdict) -> Option<Moment> {
        let answered = self.pending.as_ref().filter(|report| Some(report.digest) == verdict.answers);
        answered.map(|report| report.moment)
    }

    /// Returns how many reports were sent since the start.
    pub(super) fn count(&self) -> u64 {
        self.sent
    }
}
