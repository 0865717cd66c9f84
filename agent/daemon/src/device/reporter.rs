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
    /// A report was asked for, and none was begun since: no verdict postpones it.
    requested: bool,
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
            requested: false,
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

    /// Requests a report: it is due now, or [`SHORTEST_GAP`] after the last one. A report that is being made
    /// does not count: its quote may be older than the request.
    pub(super) fn report_now(&mut self) {
        self.requested = true;
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
        (self.busy, self.requested) = (true, false);
        Some((nonce, self.base.clone()))
    }

    /// The report is made and on its way.
    pub(super) fn sent(&mut self, tells: Acknowledged) {
        self.busy = false;
        self.sent += 1;
        self.pending = Some(tells);
        let now = Instant::now();
        self.last = Some(now);
        self.backoff.reset();
        if self.requested {
            self.report_now();
        } else {
            self.due = Some(now + self.interval.max(SHORTEST_INTERVAL));
        }
    }

    /// The report was not made.
    pub(super) fn failed(&mut self) {
        (self.busy, self.requested) = (false, true);
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
        if verdict.interval == 0 || (self.requested && self.due.is_none()) {
            self.report_now();
        } else if !self.requested {
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

#[cfg(test)]
mod tests {
    use pawl_proto::message::{Entitlement, Standing};
    use pawl_proto::{DeviceId, Digest, Epoch, PairingId};
    use tokio::time::advance;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(600);

    fn verdict(sequence: u64) -> Verdict {
        Verdict {
            version: Default::default(),
            device: DeviceId::from_digest([1; 32]),
            pairing: PairingId::from_random([2; 16]),
            epoch: Epoch(1),
            sequence,
            time: 0,
            answers: None,
            entitlement: Entitlement {
                standing: Standing::Active,
                scopes: Vec::new(),
                audiences: Vec::new(),
            },
            result: None,
            areas: Default::default(),
            reasons: Vec::new(),
            policy: None,
            nonce: Nonce([3; 32]),
            whole: false,
            interval: u32::try_from(INTERVAL.as_secs()).unwrap(),
            records: 0,
            lease: None,
            ahead: Vec::new(),
        }
    }

    fn report(number: u8) -> Acknowledged {
        Acknowledged::for_test(Digest([number; 32]))
    }

    fn due_in(reporter: &Reporter) -> Duration {
        reporter.due().expect("a report is due").saturating_duration_since(Instant::now())
    }

    /// A device that has sent its first report.
    fn after_first_report() -> Reporter {
        let mut reporter = Reporter::default();
        reporter.answered(&verdict(1));
        reporter.begin().unwrap();
        reporter.sent(report(1));
        reporter
    }

    #[tokio::test(start_paused = true)]
    async fn a_verdict_sets_when_the_next_report_is_due() {
        let mut reporter = after_first_report();
        reporter.answered(&verdict(2));
        assert_eq!(due_in(&reporter), INTERVAL);
    }

    #[tokio::test(start_paused = true)]
    async fn a_verdict_does_not_postpone_a_report_that_was_requested() {
        let mut reporter = after_first_report();
        reporter.report_now();
        reporter.answered(&verdict(2));
        assert_eq!(due_in(&reporter), SHORTEST_GAP);
        advance(SHORTEST_GAP).await;
        reporter.begin().unwrap();
        reporter.sent(report(2));
        reporter.answered(&verdict(3));
        assert_eq!(due_in(&reporter), INTERVAL, "one request, one report");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_during_a_report_leads_to_another_one() {
        let mut reporter = after_first_report();
        advance(INTERVAL).await;
        reporter.begin().unwrap();
        reporter.report_now();
        reporter.sent(report(2));
        assert_eq!(due_in(&reporter), SHORTEST_GAP);
    }

    #[tokio::test(start_paused = true)]
    async fn a_verdict_does_not_postpone_a_report_that_failed() {
        let mut reporter = after_first_report();
        advance(INTERVAL).await;
        reporter.begin().unwrap();
        reporter.failed();
        reporter.answered(&verdict(2));
        assert!(due_in(&reporter) <= FIRST_RETRY, "due in {:?}", due_in(&reporter));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_the_first_nonce() {
        let mut reporter = Reporter::default();
        reporter.report_now();
        assert!(reporter.begin().is_none());
        assert_eq!(reporter.due(), None, "nothing can be reported without a nonce");
        reporter.answered(&verdict(1));
        assert_eq!(due_in(&reporter), Duration::ZERO);
    }
}
