//! A timer on CLOCK_BOOTTIME, which a system that slept finds expired when it wakes.

use std::future::pending;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock;

/// The timer of the core's deadline.
pub(super) struct BootTimer {
    timer: TimerFd,
    /// A duplicate of the timer's descriptor, which Tokio waits on.
    expired: AsyncFd<OwnedFd>,
    set: Option<Duration>,
}

impl BootTimer {
    /// # Errors
    /// When the system has no such timer.
    pub(super) fn new() -> io::Result<Self> {
        let timer =
            TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let descriptor = timer.as_fd().try_clone_to_owned()?;
        // SAFETY: the `AsyncFd` owns the descriptor, and nothing here replaces or closes it.
        #[expect(unsafe_code, reason = "Tokio cannot know that a descriptor stays open")]
        let expired = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?;
        Ok(Self { timer, expired, set: None })
    }

    /// Waits until CLOCK_BOOTTIME has come to `deadline`; for ever without one. Dropped before it is ready, it has
    /// lost nothing.
    pub(super) async fn wait(&mut self, deadline: Option<Duration>) {
        let Some(deadline) = deadline else { return pending().await };
        if deadline <= clock::uptime() {
            return;
        }
        if self.set != Some(deadline) {
            let at = Expiration::OneShot(TimeSpec::from_duration(deadline));
            if let Err(error) = self.timer.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME) {
                tracing::error!(%error, "a timer cannot be set");
                return tokio::time::sleep(Duration::from_secs(1)).await;
            }
            self.set = Some(deadline);
        }
        while clock::uptime() < deadline {
            match self.expired.readable().await {
                // Setting the timer clears its expiry; until then the descriptor stays readable.
                Ok(mut guard) => guard.clear_ready(),
                Err(error) => {
                    tracing::error!(%error, "a timer cannot be waited for");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_expires_at_its_deadline_again_and_again() {
        let mut timer = BootTimer::new().unwrap();
        for _ in 0..3 {
            let deadline = clock::uptime() + Duration::from_millis(20);
            tokio::time::timeout(Duration::from_secs(5), timer.wait(Some(deadline))).await.unwrap();
            assert!(clock::uptime() >= deadline);
        }
    }

    #[tokio::test]
    async fn a_deadline_that_moves_replaces_the_one_before() {
        let mut timer = BootTimer::new().unwrap();
        let far = clock::uptime() + Duration::from_secs(3600);
        assert!(tokio::time::timeout(Duration::from_millis(10), timer.wait(Some(far))).await.is_err());
        let near = clock::uptime() + Duration::from_millis(10);
        tokio::time::timeout(Duration::from_secs(5), timer.wait(Some(near))).await.unwrap();
    }
}
