//! Repeatable randomness: SplitMix64 from a printed seed.

use std::time::Duration;

use anyhow::{Result, anyhow};

/// A sequence of random moments.
pub(crate) struct Chance(u64);

impl Chance {
    /// Returns a sequence from `seed`, or from a new seed, and the seed that it uses.
    pub(crate) fn from(seed: Option<u64>) -> Result<(Self, u64)> {
        let seed = match seed {
            Some(seed) => seed,
            None => u64::from(getrandom::u32().map_err(|error| anyhow!("get a seed: {error}"))?),
        };
        Ok((Self(seed), seed))
    }

    /// Returns a random moment within `span`, in microseconds.
    pub(crate) fn moment(&mut self, span: Duration) -> Duration {
        let span = u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.next() % span)
    }

    /// Returns the next number of SplitMix64 (Steele, Lea and Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_moments_within_the_span() {
        let span = Duration::from_millis(5);
        let moments = |seed| {
            let (mut chance, _) = Chance::from(Some(seed)).unwrap();
            (0..100).map(|_| chance.moment(span)).collect::<Vec<_>>()
        };
        assert_eq!(moments(7), moments(7));
        assert_ne!(moments(7), moments(8));
        assert!(moments(7).iter().all(|moment| *moment < span));
    }
}
