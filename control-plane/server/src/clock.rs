//! The time, injected: tests set it and never sleep.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The control plane's source of time.
pub trait Clock: Send + Sync + 'static {
    /// Returns Unix time in milliseconds.
    fn now_ms(&self) -> u64;

    /// Returns milliseconds of a monotonic clock with any starting point.
    fn monotonic_ms(&self) -> u64;

    /// Returns Unix time in seconds.
    fn now(&self) -> u64 {
        self.now_ms() / 1000
    }
}

/// The host's wall clock.
///
/// No decision about a device depends on its accuracy: leases end by the TPM's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now_ms(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic_ms(&self) -> u64 {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Clock;

    /// A clock that moves only when a test advances it.
    pub(crate) struct SetClock {
        monotonic_ms: AtomicU64,
        /// How far the wall clock was set back.
        back_ms: AtomicU64,
    }

    impl SetClock {
        pub(crate) fn at(seconds: u64) -> Self {
            Self { monotonic_ms: AtomicU64::new(seconds * 1000), back_ms: AtomicU64::new(0) }
        }

        pub(crate) fn advance(&self, seconds: u64) {
            self.monotonic_ms.fetch_add(seconds * 1000, Ordering::Relaxed);
        }

        /// Sets the wall clock back.
        pub(crate) fn set_back(&self, seconds: u64) {
            self.back_ms.fetch_add(seconds * 1000, Ordering::Relaxed);
        }
    }

    impl Clock for SetClock {
        fn now_ms(&self) -> u64 {
            self.monotonic_ms() - self.back_ms.load(Ordering::Relaxed)
        }

        fn monotonic_ms(&self) -> u64 {
            self.monotonic_ms.load(Ordering::Relaxed)
        }
    }
}
