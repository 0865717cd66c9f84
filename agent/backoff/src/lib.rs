//! Exponential back-off with jitter, for the daemon and the control plane.
#![forbid(unsafe_code)]

use std::time::Duration;

/// A connection that stood for so long was a good one. One that broke sooner did not end the trouble.
const STABLE: Duration = Duration::from_secs(30);

/// The delays before the next tries.
///
/// Each is drawn between a tenth of a bound and the bound, and the bound doubles up to a limit. A fleet that lost
/// its broker at one moment comes back spread over the whole delay.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    bound: Duration,
}

impl Backoff {
    /// Delays that begin below `first`, double, and stay below `limit`.
    #[must_use]
    pub fn new(first: Duration, limit: Duration) -> Self {
        Self { first, limit, bound: first }
    }

    /// Returns the next delay, by the kernel's random numbers; the whole bound where there are none.
    pub fn delay(&mut self) -> Duration {
        let random = getrandom::u32().unwrap_or(u32::MAX);
        self.delay_by(f64::from(random) / f64::from(u32::MAX))
    }

    /// Returns the next delay, which `fraction`, from 0 to 1, places between a tenth of the bound and the bound.
    pub fn delay_by(&mut self, fraction: f64) -> Duration {
        let bound = self.bound;
        self.bound = self.limit.min(bound.saturating_mul(2));
        let floor = bound / 10;
        floor + (bound - floor).mul_f64(fraction)
    }

    /// Begins again at the first delay: for a success that has proven stable.
    pub fn reset(&mut self) {
        self.bound = self.first;
    }

    /// Resets the back-off when a connection stood for half a minute before it broke.
    pub fn reset_if_stable(&mut self, stood: Duration) {
        if stood >= STABLE {
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
        // First and limit are one, so that no delay differs because the bound doubled.
        let mut backoff = Backoff::new(FIRST, FIRST);
        let delays: Vec<_> = (0..64).map(|_| backoff.delay()).collect();
        assert!(delays.iter().all(|delay| (FIRST / 10..=FIRST).contains(delay)), "{delays:?}");
        // By chance, all of 64 delays stand in one half of the range once in 2^63 runs.
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
