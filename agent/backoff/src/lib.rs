//! Exponential back-off with jitter, for the daemon and the control plane.
#![forbid(unsafe_code)]

use std::time::Duration;

/// A connection that lasted at least this long resets the back-off. A shorter one does not: the peer may accept each
/// connection and close it at once.
const STABLE: Duration = Duration::from_secs(30);

/// A sequence of random delays between retries.
///
/// Each delay is between a tenth of a bound and the bound. The bound doubles after each delay, up to a limit. Devices
/// that lost their broker at the same moment therefore reconnect at different times.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    bound: Duration,
}

impl Backoff {
    /// Creates a back-off whose first delay is at most `first` and whose later delays are at most `limit`.
    #[must_use]
    pub fn new(first: Duration, limit: Duration) -> Self {
        Self { first, limit, bound: first }
    }

    /// Returns the next delay, drawn from the kernel's random numbers; the whole bound if the kernel returns none.
    pub fn delay(&mut self) -> Duration {
        let random = getrandom::u32().unwrap_or(u32::MAX);
        self.delay_by(f64::from(random) / f64::from(u32::MAX))
    }

    /// Returns the next delay: a tenth of the bound for the `fraction` 0, the bound for 1, and linear in between.
    pub fn delay_by(&mut self, fraction: f64) -> Duration {
        let bound = self.bound;
        self.bound = self.limit.min(bound.saturating_mul(2));
        let floor = bound / 10;
        floor + (bound - floor).mul_f64(fraction)
    }

    /// Starts again with the first delay. Call it after a success that lasted.
    pub fn reset(&mut self) {
        self.bound = self.first;
    }

    /// Resets the back-off if a connection lasted at least half a minute before it broke.
    pub fn reset_if_stable(&mut self, lasted: Duration) {
        if lasted >= STABLE {
            self.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(1);
    const LIMIT: Duration = Duration::from_secs(8);

    #[test]
    fn the_bound_doubles_up_to_the_limit() {
        let mut backoff = Backoff::new(FIRST, LIMIT);
        let bounds: Vec<_> = (0..6).map(|_| backoff.delay_by(1.0).as_secs()).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 8, 8]);
    }

    #[test]
    fn the_fraction_places_a_delay_between_a_tenth_of_the_bound_and_the_bound() {
        let delay = |fraction| Backoff::new(FIRST, LIMIT).delay_by(fraction).as_millis();
        assert_eq!((delay(0.0), delay(0.5), delay(1.0)), (100, 550, 1000));
    }

    #[test]
    fn delays_of_one_bound_are_spread_over_it() {
        // The limit equals the first bound, so that the bound does not double between delays.
        let mut backoff = Backoff::new(FIRST, FIRST);
        let delays: Vec<_> = (0..64).map(|_| backoff.delay()).collect();
        assert!(delays.iter().all(|delay| (FIRST / 10..=FIRST).contains(delay)), "{delays:?}");
        // By chance, all 64 delays are in one half of the range once in 2^63 runs.
        let middle = Duration::from_millis(550);
        assert!(delays.iter().any(|delay| *delay < middle), "no delay in the lower half: {delays:?}");
        assert!(delays.iter().any(|delay| *delay > middle), "no delay in the upper half: {delays:?}");
    }

    #[test]
    fn a_stable_connection_resets_it_and_a_brief_one_does_not() {
        let mut backoff = Backoff::new(FIRST, LIMIT);
        backoff.delay_by(1.0);
        backoff.reset_if_stable(STABLE - Duration::from_millis(1));
        assert_eq!(backoff.delay_by(1.0), FIRST * 2);
        backoff.reset_if_stable(STABLE);
        assert_eq!(backoff.delay_by(1.0), FIRST);
    }
}
