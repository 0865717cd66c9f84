//! Time: the wall clock with its floor, and CLOCK_BOOTTIME, which every deadline uses.
//!
//! A device's wall clock can be wrong: a board without a battery starts in 1970. The control plane signs the time into each
//! verdict. That time plus the time that CLOCK_BOOTTIME has counted since is a floor: the present cannot be earlier.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use pawl_proto::Text;
use pawl_proto::codec::Version;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use serde::{Deserialize, Serialize};

/// The best estimate of the time: the wall clock, or the floor if the wall clock is behind it.
///
/// Used for people, for tokens and for the validity of certificates. Limits that the TPM can check, it checks by its own clock.
#[derive(Clone, Debug)]
pub(crate) struct WallClock {
    now: fn() -> SystemTime,
    uptime: fn() -> Duration,
    floor: Arc<Mutex<Floor>>,
}

/// The time in a signed verdict, and when it arrived.
#[derive(Debug, Default)]
struct Floor {
    /// Seconds since 1970, and CLOCK_BOOTTIME then.
    heard: Option<(u64, Duration)>,
    /// The floor that [`WallClock::to_keep`] returned last.
    kept: Option<u64>,
}

/// `time.cbor`: the floor, for the next process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownTime {
    version: Version,
    /// Seconds since 1970.
    time: u64,
    /// The boot in which this was the floor.
    boot_id: Text<64>,
    /// Seconds of CLOCK_BOOTTIME then.
    uptime: u64,
}

/// Interval between writes. Flash wears out, and within a boot the daemon can compute the present floor from an old one.
const KEEP_EVERY: u64 = 3600;

impl WallClock {
    /// Returns the system's clock.
    pub(crate) fn system() -> Self {
        Self::with(SystemTime::now, uptime)
    }

    /// Returns a clock with the caller's wall clock and CLOCK_BOOTTIME.
    pub(crate) fn with(now: fn() -> SystemTime, uptime: fn() -> Duration) -> Self {
        Self { now, uptime, floor: Arc::default() }
    }

    /// Returns seconds since 1970.
    pub(crate) fn unix(&self) -> u64 {
        let wall = (self.now)().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        wall.max(self.floor().unwrap_or(0))
    }

    /// Returns the time `ahead` of now, in seconds since 1970.
    pub(crate) fn unix_in(&self, ahead: Duration) -> u64 {
        self.unix().saturating_add(ahead.as_secs())
    }

    /// Returns the floor in seconds since 1970; none before the first verdict.
    pub(crate) fn floor(&self) -> Option<u64> {
        let (time, heard_at) = self.lock().heard?;
        Some(time.saturating_add((self.uptime)().saturating_sub(heard_at).as_secs()))
    }

    /// Raises the floor to the time in a verdict whose signature was checked. An earlier time changes nothing.
    pub(crate) fn heard(&self, time: u64) {
        if self.floor().is_none_or(|floor| floor < time) {
            self.lock().heard = Some((time, (self.uptime)()));
        }
    }

    /// Raises the floor to the one that an earlier process wrote. Within the same boot it adds the time since then.
    pub(crate) fn resume(&self, known: &KnownTime, boot_id: &Text<64>) {
        let same_boot = known.boot_id == *boot_id && !boot_id.as_str().is_empty();
        let passed = if same_boot { (self.uptime)().as_secs().saturating_sub(known.uptime) } else { 0 };
        self.heard(known.time.saturating_add(passed));
        self.lock().kept = Some(known.time);
    }

    /// Returns the floor for the disk; none if [`KEEP_EVERY`] seconds have not passed since the last one.
    pub(crate) fn to_keep(&self, boot_id: Text<64>) -> Option<KnownTime> {
        let time = self.floor()?;
        let mut floor = self.lock();
        if floor.kept.is_some_and(|kept| time < kept.saturating_add(KEEP_EVERY)) {
            return None;
        }
        floor.kept = Some(time);
        Some(KnownTime { version: Version, time, boot_id, uptime: (self.uptime)().as_secs() })
    }

    fn lock(&self) -> MutexGuard<'_, Floor> {
        self.floor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.unix())))
    }
}

/// Returns CLOCK_BOOTTIME, which continues while the system sleeps (Linux 2.6.39 and later; zero without it).
pub(crate) fn uptime() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR_2026: u64 = 1_780_000_000;

    fn at_1970() -> WallClock {
        WallClock::with(|| UNIX_EPOCH + Duration::from_secs(90), uptime)
    }

    fn boot(id: &str) -> Text<64> {
        Text::lossy(id)
    }

    #[test]
    fn a_clock_at_1970_is_overruled_by_the_time_in_a_verdict() {
        let clock = at_1970();
        assert_eq!((clock.unix(), clock.floor()), (90, None));
        clock.heard(YEAR_2026);
        assert!((YEAR_2026..YEAR_2026 + 60).contains(&clock.unix()));
        clock.heard(YEAR_2026 - 1000);
        assert!(clock.unix() >= YEAR_2026, "an older verdict lowers it");
        let at = clock.current_time().unwrap().as_secs();
        assert!((YEAR_2026..YEAR_2026 + 60).contains(&at), "certificates are checked at {at}");
    }

    #[test]
    fn a_clock_that_is_ahead_of_the_floor_is_believed() {
        let clock = WallClock::with(|| UNIX_EPOCH + Duration::from_secs(YEAR_2026), uptime);
        clock.heard(YEAR_2026 - 300);
        assert_eq!(clock.unix(), YEAR_2026);
    }

    #[test]
    fn the_floor_outlives_the_process_and_the_boot() {
        let clock = at_1970();
        clock.heard(YEAR_2026);
        let mut known = clock.to_keep(boot("one")).unwrap();
        assert_eq!(clock.to_keep(boot("one")), None, "it is written again at once");

        let next_boot = at_1970();
        next_boot.resume(&known, &boot("two"));
        assert!((YEAR_2026..YEAR_2026 + 60).contains(&next_boot.unix()));
        // Half an hour later in the same boot.
        let half_an_hour = known.uptime.min(1800);
        known.uptime -= half_an_hour;
        let same_boot = at_1970();
        same_boot.resume(&known, &boot("one"));
        let expected = YEAR_2026 + half_an_hour;
        assert!((expected..expected + 60).contains(&same_boot.unix()));
    }
}
