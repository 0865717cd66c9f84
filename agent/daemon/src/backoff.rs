//! Exponential back-off with full jitter.

use std::time::Duration;

use crate::random;

/// How long to wait before the next try. A fleet that lost its broker at one moment comes back
/// spread over the whole delay.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    limit: Duration,
    next: Duration,
}

impl Backoff {
    /// Delays that begin below `first`, double, and stay below `limit`.
    pub(crate) fn new(first: Duration, limit: Duration) -> Self {
        Self { first, limit, next: first }
    }

    /// Returns the next delay: random, at least a tenth of the bound and at most the bound.
    pub(crate) fn delay(&mut self) -> Duration {
        self.delay_by(random::fraction())
    }

    /// Returns the next delay, which `fraction`, from 0 to 1, places between a tenth of the bound and the bound.
    pub(crate) fn delay_by(&mut self, fraction: f64) -> Duration {
        let bound = self.next;
        self.next = self.limit.min(bound.saturating_mul(2));
        let floor = bound / 10;
        floor + (bound - floor).mul_f64(fraction)
    }

    /// Begins again at the first delay: for a success that has proven stable.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit_and_differ() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(8));
        let mut seen = Vec::new();
        for bound in [1, 2, 4, 8, 8, 8] {
            let delay = backoff.delay();
            assert!(delay <= Duration::from_secs(bound), "{delay:?} above {bound} s");
            assert!(delay >= Duration::from_millis(bound * 100), "{delay:?} below a tenth of {bound} s");
            seen.push(delay);
        }
        seen.dedup();
        assert!(seen.len() > 1, "no jitter: {seen:?}");
        backoff.reset();
        assert!(backoff.delay() <= Duration::from_secs(1));
    }
}
