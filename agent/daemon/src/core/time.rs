//! The time and the randomness of the core: the time comes with each input, and the seed of all random numbers at the start.

use std::time::Duration;

use crate::backoff::Backoff;

/// The time on the host's clocks at an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// CLOCK_BOOTTIME, which also counts while the system sleeps, and which nobody can set. Every deadline is on this clock.
    pub boot: Duration,
    /// The best known wall clock time: Unix time, seconds. It may jump.
    pub unix: u64,
}

impl Now {
    /// Returns by how many seconds the wall clock is ahead of CLOCK_BOOTTIME. The value changes when the wall clock is set.
    fn offset(self) -> i128 {
        i128::from(self.unix) - i128::from(self.boot.as_secs())
    }

    /// Returns whether the wall clock was set between `before` and now.
    pub(super) fn has_jumped_since(self, before: Self) -> bool {
        (self.offset() - before.offset()).abs() > CLOCK_STEP
    }
}

/// A larger change of the wall clock between two inputs, in seconds, means that the clock was set, not that NTP slews it.
const CLOCK_STEP: i128 = 5;

/// Pseudo-random numbers from one seed (SplitMix64), for the jitter of delays. Not for secrets.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next delay of `backoff`.
    pub(super) fn delay(&mut self, backoff: &mut Backoff) -> Duration {
        backoff.delay_by(self.fraction())
    }

    /// Returns an independent jitter, whose seed comes from this one.
    pub(super) fn fork(&mut self) -> Self {
        Self(u64::from_be_bytes(self.bits()))
    }

    fn fraction(&mut self) -> f64 {
        let [.., a, b, c, d] = self.bits();
        f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
    }

    fn bits(&mut self) -> [u8; 8] {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)).to_be_bytes()
    }
}

/// Returns the earliest of these deadlines.
pub(super) fn earliest(deadlines: impl IntoIterator<Item = Option<Duration>>) -> Option<Duration> {
    deadlines.into_iter().flatten().min()
}
