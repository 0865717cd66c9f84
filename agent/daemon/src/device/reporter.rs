//! When to report, on which nonce, and what the next report builds on.

use std::time::Duration;

use pawl_proto::Nonce;
use pawl_proto::message::Verdict;
use tokio::time::Instant;

use crate::audit::Moment;
use crate::backoff::Backoff;
use crate::posture::Acknowledged;

/// The schedule and the memory of one pairing's reports.
pub(super) struct Reporter {
    nonce: Option<Nonce>,
    interval: Duration,
    due: Option<Instant>,
    last: Option<Instant>,
    /// What the last report told, until a verdict answers it.
    pending: Option<Acknowledged>,
    /// What the control plane has acknowledged.
    base: Option<Acknowledged>,
    busy: bool,
    sent: u64,
    backoff: Backoff,
}

/// Reports follow each other no faster, whatever is asked for.
const SHORTEST_GAP: Duration = Duration::from_millis(250);
/// A verdict that does not come is asked for again no sooner.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

impl Default for Reporter {
    fn default() -> Self {
        Self {
            nonce: None,
            interval: SHORTEST_INTERVAL,
            due: None,
            last: None,
            pending: None,
            base: None,
            busy: false,
            sent: 0,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
        }
    }
}

impl Reporter {
    /// Takes up the nonce of the last verdict, which may have been used; the control plane then
    /// answers with another.
    pub(super) fn resume(&mut self, nonce: Option<Nonce>) {
        self.nonce = nonce;
    }

    /// A report is wanted now.
    pub(super) fn report_now(&mut self) {
        let earliest = self.last.map_or_else(Instant::now, |last| last + SHORTEST_GAP);
        self.due = Some(earliest.max(Instant::now()));
    }

    /// When the next report is due; none while one is being made.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.busy { None } else { self.due }
    }

    /// Begins a report: the nonce, and what it builds on.
    pub(super) fn begin(&mut self) -> Option<(Nonce, Option<Acknowledged>)> {
        self.due = None;
        let nonce = self.nonce?;
        self.busy = true;
        Some((nonce, self.base.clone()))
    }

    /// The report is made and on its way.
    pub(super) fn sent(&mut self, tells: Acknowledged) {
        self.busy = false;
        self.sent += 1;
        self.pending = Some(tells);
        let now = Instant::now();
        self.last = Some(now);
        self.due = Some(now + self.interval.max(SHORTEST_INTERVAL));
        self.backoff.reset();
    }

    /// The report was not made.
    pub(super) fn failed(&mut self) {
        self.busy = false;
        self.due = Some(Instant::now() + self.backoff.delay());
    }

    /// Takes from a verdict what the next report needs.
    pub(super) fn answered(&mut self, verdict: &Verdict) {
        self.nonce = Some(verdict.nonce);
        if verdict.whole {
            (self.base, self.pending) = (None, None);
        } else if verdict.result.is_some()
            && self.pending.as_ref().map(Acknowledged::digest) == verdict.answers
        {
            self.base = self.pending.take().or_else(|| self.base.take());
        }
        self.interval = Duration::from_secs(u64::from(verdict.interval));
        if verdict.interval == 0 {
            self.report_now();
        } else {
            self.due = Some(Instant::now() + self.interval);
        }
    }

    /// When the report was quoted that this verdict answers.
    pub(super) fn quoted_at(&self, verdict: &Verdict) -> Option<Moment> {
        let answered = self.pending.as_ref().filter(|report| Some(report.digest()) == verdict.answers);
        answered.map(Acknowledged::moment)
    }

    /// The reports sent since the start.
    pub(super) fn count(&self) -> u64 {
        self.sent
    }
}
