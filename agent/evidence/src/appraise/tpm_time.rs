use crate::tpm::ClockInfo;

/// The longest interval, in milliseconds, at which a TPM saves its clock. An unclean stop can lose that much
/// (TPM 2.0 Library, part 2, TPM_PT_CLOCK_UPDATE).
pub const CLOCK_SAVE_INTERVAL_MS: u64 = 1 << 22;

/// A time to which a TPM attests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TpmTime {
    /// The value of the epoch counter.
    pub epoch: u64,
    /// Resets since the TPM was cleared.
    pub reset_count: u32,
    /// Milliseconds with power since the TPM was cleared.
    pub clock_ms: u64,
}

/// The latest known time of a TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HighWater {
    /// The highest epoch.
    pub epoch: u64,
    /// The highest number of resets in that epoch.
    pub reset_count: u32,
    /// The highest clock after that reset, in milliseconds.
    pub clock_ms: u64,
    /// The highest clock in that epoch, in milliseconds. It is above `clock_ms` if an unclean stop lost some of
    /// the clock.
    pub clock_max_ms: u64,
}

impl TpmTime {
    /// Combines an epoch with the clock of an attestation. A key of the endorsement hierarchy must have signed
    /// the clock; for other keys the TPM obfuscates it.
    pub fn new(epoch: u64, clock: ClockInfo) -> Self {
        Self { epoch, reset_count: clock.reset_count, clock_ms: clock.clock_ms }
    }
}

impl HighWater {
    /// Returns the high-water mark of a TPM's first report.
    pub fn first(time: TpmTime) -> Self {
        let TpmTime { epoch, reset_count, clock_ms } = time;
        Self { epoch, reset_count, clock_ms, clock_max_ms: clock_ms }
    }

    /// Returns whether a TPM with this mark can be at `now` although nobody restored an older state of it.
    ///
    /// The counter never falls. In a later epoch resets and clock may have any value: `TPM2_Clear` sets both to
    /// zero, and the counter then starts above its old value. Within an epoch the resets never fall, the clock
    /// never falls between two resets, and all resets together lose at most the part of the clock that the TPM
    /// had not saved.
    pub fn admits(&self, now: TpmTime) -> bool {
        self.leads_to(now, CLOCK_SAVE_INTERVAL_MS)
    }

    /// As [`Self::admits`], without the allowance for an unclean stop: the TPM is past every time of this mark.
    pub fn is_passed_by(&self, now: TpmTime) -> bool {
        self.leads_to(now, 0)
    }

    fn leads_to(&self, now: TpmTime, clock_loss_ms: u64) -> bool {
        if now.epoch != self.epoch {
            return now.epoch > self.epoch;
        }
        (now.reset_count, now.clock_ms) >= (self.reset_count, self.clock_ms)
            && now.clock_ms >= self.clock_max_ms.saturating_sub(clock_loss_ms)
    }

    /// Returns whether `now` can be neither after nor before this mark, which means that somebody restored an
    /// older state of the TPM. A delayed message is before the mark.
    ///
    /// In an earlier epoch, `now` contradicts the mark if it has more resets or a later clock: the counter fell.
    /// In the same epoch, it does if more resets go with a lower clock than an unclean stop explains, whichever
    /// of the two came first.
    pub fn is_contradicted_by(&self, now: TpmTime) -> bool {
        if now.epoch < self.epoch {
            return (now.reset_count, now.clock_ms) > (self.reset_count, self.clock_ms);
        }
        let Self { epoch, reset_count, clock_ms, .. } = *self;
        !self.admits(now) && !Self::first(now).admits(TpmTime { epoch, reset_count, clock_ms })
    }

    /// Returns the mark after a report at `now`, which this mark must admit.
    #[must_use]
    pub fn raised_to(self, now: TpmTime) -> Self {
        let before = if now.epoch == self.epoch { self.clock_max_ms } else { 0 };
        Self { clock_max_ms: before.max(now.clock_ms), ..Self::first(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn at(epoch: u64, reset_count: u32, clock_ms: u64) -> TpmTime {
        TpmTime { epoch, reset_count, clock_ms }
    }

    #[test]
    fn changes_without_a_restored_state_are_admitted() {
        let mark = HighWater::first(at(5, 10, 9 * HOUR));
        for (what, now) in [
            ("it keeps running", at(5, 10, 9 * HOUR + 1)),
            ("a reset", at(5, 11, 9 * HOUR)),
            ("an unclean stop", at(5, 11, 9 * HOUR - CLOCK_SAVE_INTERVAL_MS)),
            ("TPM2_Clear, and a counter that is defined again", at(6, 0, 0)),
        ] {
            assert!(mark.admits(now), "{what}");
        }
    }

    #[test]
    fn a_restored_state_is_not_admitted_after_any_number_of_resets() {
        let mark = HighWater::first(at(5, 10, 9 * HOUR));
        for (what, now) in [
            ("the counter fell", at(4, 99, 99 * HOUR)),
            ("resets fell", at(5, 9, 99 * HOUR)),
            ("the clock fell without a reset", at(5, 10, 9 * HOUR - 1)),
            ("the clock lost more than a stop can lose", at(5, 11, 9 * HOUR - CLOCK_SAVE_INTERVAL_MS - 1)),
            ("the same after many resets", at(5, u32::MAX, 7 * HOUR)),
        ] {
            assert!(!mark.admits(now), "{what}");
        }
    }

    #[test]
    fn many_unclean_stops_lose_no_more_clock_than_one() {
        let first = HighWater::first(at(5, 10, 9 * HOUR));
        let stopped = at(5, 11, 8 * HOUR);
        let mark = first.raised_to(stopped);
        assert!(mark.admits(at(5, 11, 8 * HOUR + 1)), "it keeps running after the stop");
        assert!(!mark.admits(at(5, 12, 7 * HOUR)), "the mark fell with the first stop");
        assert!(mark.admits(at(5, 12, 8 * HOUR)) && !mark.is_passed_by(at(5, 12, 8 * HOUR)));
        assert!(mark.raised_to(at(6, 0, 1)).admits(at(6, 1, 1)), "a later epoch starts a new mark");
    }

    #[test]
    fn a_message_of_the_same_epoch_that_fits_neither_before_nor_after_the_mark_contradicts_it() {
        let mark = HighWater::first(at(5, 10, 9 * HOUR));
        for (what, now, contradicts) in [
            ("it is later", at(5, 11, 9 * HOUR), false),
            ("it was delayed", at(5, 9, 2 * HOUR), false),
            ("it was delayed, without a reset since", at(5, 10, 2 * HOUR), false),
            ("it was delayed, and an unclean stop followed", at(5, 9, 10 * HOUR), false),
            ("more resets, and a clock hours earlier", at(5, 11, 7 * HOUR), true),
            ("fewer resets, and a clock hours later", at(5, 9, 11 * HOUR), true),
            ("a later epoch", at(6, 0, 0), false),
        ] {
            assert_eq!(mark.is_contradicted_by(now), contradicts, "{what}");
        }
    }

    #[test]
    fn only_a_report_that_is_later_than_the_mark_shows_that_the_counter_fell() {
        let mark = HighWater::first(at(7, 10, HOUR));
        assert!(mark.is_contradicted_by(at(5, 11, 1)) && mark.is_contradicted_by(at(5, 10, HOUR + 1)));
        assert!(!mark.is_contradicted_by(at(5, 10, HOUR)), "it was delayed");
        assert!(!mark.is_contradicted_by(at(7, 11, 0)) && !mark.is_contradicted_by(at(8, 11, 0)));
    }
}
