//! Time, injected: the wall clock here, the monotonic one from Tokio, which tests can pause.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the wall clock is read. A device's clock may be wrong: what it says is shown to people
/// and stands in tokens, and decides nothing that the TPM can decide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    now: fn() -> SystemTime,
}

impl WallClock {
    /// The system's clock.
    pub(crate) fn system() -> Self {
        Self { now: SystemTime::now }
    }

    /// Seconds since 1970.
    pub(crate) fn unix(&self) -> u64 {
        (self.now)().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// The second that lies `ahead` from now.
    pub(crate) fn unix_in(&self, ahead: Duration) -> u64 {
        self.unix().saturating_add(ahead.as_secs())
    }
}
