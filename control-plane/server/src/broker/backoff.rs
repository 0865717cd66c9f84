use std::time::Duration;

/// The first pause, at most.
const FIRST: Duration = Duration::from_millis(250);
/// The longest.
const LONGEST: Duration = Duration::from_secs(30);
/// A connection that stood so long was a good one. One that broke sooner did not end the trouble.
const STABLE: Duration = Duration::from_secs(30);

/// How long to wait before the next try: doubling, and random in its upper half, so that a fleet
/// does not come back in step.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after a failure; `stood` is how long the connection had stood before.
    pub(super) fn pause(&mut self, stood: Option<Duration>, random: u16) -> Duration {
        if stood.is_some_and(|stood| stood >= STABLE) {
            self.failures = 0;
        }
        let longest = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        longest / 2 + longest / 2 * u32::from(random) / u32::from(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_its_limit() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..10).map(|_| backoff.pause(None, u16::MAX)).collect();
        assert_eq!(pauses[..3], [FIRST, FIRST * 2, FIRST * 4]);
        assert_eq!(pauses[9], LONGEST);
    }

    #[test]
    fn the_jitter_is_in_the_upper_half() {
        assert_eq!(Backoff::default().pause(None, 0), FIRST / 2);
    }

    #[test]
    fn a_stable_connection_resets_it_and_a_brief_one_does_not() {
        let mut backoff = Backoff::default();
        backoff.pause(None, 0);
        backoff.pause(None, 0);
        assert_eq!(backoff.pause(Some(Duration::from_secs(1)), u16::MAX), FIRST * 4);
        assert_eq!(backoff.pause(Some(STABLE), u16::MAX), FIRST);
    }
}
