//! Reports: when to send one, with which nonce, and on which earlier report it builds.

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

/// The schedule and the state of one pairing's reports.
pub(super) struct Reports {
    /// The nonce of the last verdict.
    nonce: Option<Nonce>,
    /// The handles of the NvPCRs that the control plane asked for.
    nvpcrs: Vec<u32>,
    interval: Duration,
    due: Option<Duration>,
    /// Whether a report was requested and none has begun since. A verdict does not postpone it.
    is_requested: bool,
    last: Option<Duration>,
    /// The contents of the last report, until a verdict answers it.
    pending: Option<Acknowledged>,
    /// The contents of the reports that the control plane has acknowledged.
    base: Option<Acknowledged>,
    /// The report in progress.
    making: Option<Procedure<Result<Prepared, ReportError>>>,
    sent: u64,
    backoff: Backoff,
}

/// The shortest time between two reports, also if the control plane orders the second one.
const SHORTEST_GAP: Duration = Duration::from_millis(250);
/// The shortest time from a report to the next one, if no verdict answers it.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// The nonce of a report before the first verdict. The control plane answers it, as any stale nonce, with a fresh one.
const NO_NONCE: Nonce = Nonce([0; 32]);

impl Reports {
    /// Returns the reports of a pairing that has just started. The nonce of the last verdict may have been used before: then the
    /// control plane answers with a fresh one.
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

    /// Requests a report: it is due now, or [`SHORTEST_GAP`] after the last one. A report in progress does not count, because its
    /// quote may be older than the request.
    pub(super) fn report_now(&mut self, cx: &Context) {
        self.is_requested = true;
        let earliest = self.last.map_or(cx.now.boot, |last| last.saturating_add(SHORTEST_GAP));
        self.due = Some(earliest.max(cx.now.boot));
    }

    /// Returns when the next report is due; none while one is in progress.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.due.filter(|_| self.making.is_none())
    }

    /// Passes a result to the report in progress. Returns the result if the report does not await it.
    pub(super) fn resume(&mut self, ticket: Ticket, outcome: Option<Outcome>) -> Option<Outcome> {
        match &mut self.making {
            Some(making) => making.resume(ticket, outcome),
            None => outcome,
        }
    }

    /// Begins a report if one is due and the broker is connected, and continues the one in progress.
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

    /// Publishes a finished report, or schedules the next attempt after a failed one.
    fn made(&mut self, cx: &mut Context, outcome: Result<Prepared, ReportError>) {
        let encoded = outcome.and_then(|Prepared { report, contents }| Ok((encode(&report)?, contents)));
        match encoded {
            Ok((payload, contents)) => {
                let digest: Digest = contents.digest;
                tracing::debug!(evidence = %digest, bytes = payload.len(), "report");
                cx.push(Effect::Publish(Parcel { kind: ParcelKind::Posture(digest), payload }));
                self.sent += 1;
                self.pending = Some(contents);
                self.last = Some(cx.now.boot);
                self.backoff.reset();
                if self.is_requested {
                    self.report_now(cx);
                } else {
                    self.due = Some(cx.after(self.interval.max(SHORTEST_INTERVAL)));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot make a report; retrying");
                (self.due, self.is_requested) = (Some(cx.retry(&mut self.backoff)), true);
            }
        }
    }

    /// Schedules a fresh report, because the broker has dropped the one with this digest.
    pub(super) fn undelivered(&mut self, cx: &mut Context, digest: Digest) {
        if self.pending.as_ref().is_some_and(|pending| pending.digest == digest) {
            let retry = cx.retry(&mut self.backoff);
            self.due = Some(self.due.map_or(retry, |due| due.min(retry)));
            self.is_requested = true;
        }
    }

    /// Updates the schedule, and what the next report needs, from a verdict.
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

    /// Returns when the TPM made the quote of the report that this verdict answers.
    pub(super) fn quoted_at(&self, verdict: &Verdict) -> Option<Moment> {
        let answered = self.pending.as_ref().filter(|report| Some(report.digest) == verdict.answers);
        answered.map(|report| report.moment)
    }

    /// Returns the number of reports since the start.
    pub(super) fn count(&self) -> u64 {
        self.sent
    }
}
