//! Times that were taken again and again.

use std::time::Duration;

use crate::amount::Amount;

/// Needs at least one sample before a figure is taken; without any, figures are zero.
#[derive(Default)]
pub(crate) struct Samples(Vec<Duration>);

/// On a quiet machine, the median of a command or a hop is below twice the fastest.
const DISTURBED: u32 = 3;

impl Samples {
    pub(crate) fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// The upper one of the two in the middle, where there are two.
    pub(crate) fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// Whether other work on the machine kept most of these samples waiting. What is measured
    /// against them then looks better than it is.
    pub(crate) fn are_disturbed(&self) -> bool {
        let fastest = self.0.iter().min().copied().unwrap_or_default();
        self.median() > DISTURBED * fastest
    }

    /// Median, extremes and number, to stand below a figure.
    pub(crate) fn parts(&self, name: &'static str) -> [(&'static str, Amount); 4] {
        let extreme = |extreme: Option<&Duration>| Amount::Time(extreme.copied().unwrap_or_default());
        [
            (name, Amount::Time(self.median())),
            ("fastest", extreme(self.0.iter().min())),
            ("slowest", extreme(self.0.iter().max())),
            ("runs", Amount::Count(u64::try_from(self.0.len()).unwrap_or(u64::MAX))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_does_not_care_for_the_order_or_for_one_slow_sample() {
        let mut samples = Samples::default();
        for millis in [900, 2, 1, 3, 2] {
            samples.add(Duration::from_millis(millis));
        }
        assert_eq!(samples.median(), Duration::from_millis(2));
    }

    #[test]
    fn samples_that_mostly_waited_are_disturbed() {
        let of = |millis: [u64; 3]| Samples(millis.map(Duration::from_millis).to_vec());
        assert!(of([1, 8, 8]).are_disturbed());
        assert!(!of([1, 2, 8]).are_disturbed());
    }
}
