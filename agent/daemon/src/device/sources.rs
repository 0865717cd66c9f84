//! The sources of the core's inputs: link, jobs, disk, and a timer on CLOCK_BOOTTIME. A deadline that passes while the system
//! sleeps is due when it wakes.

use std::future::pending;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::disk::Disk;
use crate::clock;
use crate::core::Input;
use crate::link::LinkEvent;

/// The link, the jobs, the disk and the timer.
pub(super) struct Sources {
    pub(super) link: Option<mpsc::Receiver<LinkEvent>>,
    /// The jobs in progress.
    pub(super) jobs: JoinSet<Input>,
    pub(super) disk: Disk,
    timer: BootTimer,
}

/// What a source delivered.
pub(super) enum SourceEvent {
    Input(Input),
    Link(LinkEvent),
}

impl Sources {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { link: None, jobs: JoinSet::new(), disk: Disk::default(), timer: BootTimer::new()? })
    }

    /// Waits for the next event. Cancel-safe. No source starves another: `select!` polls them in random order.
    pub(super) async fn next(&mut self, deadline: Option<Duration>) -> SourceEvent {
        tokio::select! {
            event = receive(&mut self.link) => SourceEvent::Link(event),
            input = finished(&mut self.jobs) => SourceEvent::Input(input),
            input = self.disk.next() => SourceEvent::Input(input),
            () = self.timer.wait(deadline) => SourceEvent::Input(Input::Timer),
        }
    }
}

async fn receive(link: &mut Option<mpsc::Receiver<LinkEvent>>) -> LinkEvent {
    if let Some(events) = link {
        match events.recv().await {
            Some(event) => return event,
            None => *link = None,
        }
    }
    pending().await
}

async fn finished(jobs: &mut JoinSet<Input>) -> Input {
    while let Some(ended) = jobs.join_next().await {
        // A panic in a job has been reported. An aborted job has no result.
        if let Ok(input) = ended {
            return input;
        }
    }
    pending().await
}

/// The timer of the core's deadline.
pub(super) struct BootTimer {
    timer: TimerFd,
    /// A duplicate of the timer's descriptor, for Tokio.
    expired: AsyncFd<OwnedFd>,
    set: Option<Duration>,
}

impl BootTimer {
    /// # Errors
    /// If the system has no such timer.
    pub(super) fn new() -> io::Result<Self> {
        let timer =
            TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let descriptor = timer.as_fd().try_clone_to_owned()?;
        // SAFETY: the `AsyncFd` owns the descriptor, and nothing here replaces or closes it.
        #[expect(unsafe_code, reason = "Tokio cannot know that a descriptor stays open")]
        let expired = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?;
        Ok(Self { timer, expired, set: None })
    }

    /// Waits until CLOCK_BOOTTIME has reached `deadline`; forever if there is none. Cancel-safe.
    pub(super) async fn wait(&mut self, deadline: Option<Duration>) {
        let Some(deadline) = deadline else { return pending().await };
        if deadline <= clock::uptime() {
            return;
        }
        if self.set != Some(deadline) {
            let at = Expiration::OneShot(TimeSpec::from_duration(deadline));
            if let Err(error) = self.timer.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME) {
                tracing::error!(%error, "cannot set a timer");
                return tokio::time::sleep(Duration::from_secs(1)).await;
            }
            self.set = Some(deadline);
        }
        while clock::uptime() < deadline {
            match self.expired.readable().await {
                // Setting the timer clears its expiry; until then the descriptor stays readable.
                Ok(mut guard) => guard.clear_ready(),
                Err(error) => {
                    tracing::error!(%error, "cannot wait for a timer");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::core::RequestId;

    #[tokio::test]
    async fn a_flood_of_messages_starves_no_other_source() {
        let mut sources = Sources::new().unwrap();
        let (flood, events) = mpsc::channel(4);
        sources.link = Some(events);
        sources.jobs.spawn(async { Input::Request(RequestId(1), crate::core::Request::GiveUp) });
        let (mut timer, mut job) = (false, false);
        let deadline = Some(clock::uptime());
        for _ in 0..200 {
            while flood.try_send(LinkEvent::Connected).is_ok() {}
            tokio::task::yield_now().await;
            match sources.next(deadline).await {
                SourceEvent::Input(Input::Timer) => timer = true,
                SourceEvent::Input(_) => job = true,
                SourceEvent::Link(_) => {}
            }
        }
        assert!(timer, "a timer that is due was never served");
        assert!(job, "the result of a job was never served");
    }

    #[tokio::test]
    async fn the_timer_expires_at_each_new_deadline() {
        let mut timer = BootTimer::new().unwrap();
        for _ in 0..3 {
            let deadline = clock::uptime() + Duration::from_millis(20);
            tokio::time::timeout(Duration::from_secs(5), timer.wait(Some(deadline))).await.unwrap();
            assert!(clock::uptime() >= deadline);
        }
    }

    #[tokio::test]
    async fn a_new_deadline_replaces_the_last_one() {
        let mut timer = BootTimer::new().unwrap();
        let far = clock::uptime() + Duration::from_secs(3600);
        assert!(tokio::time::timeout(Duration::from_millis(10), timer.wait(Some(far))).await.is_err());
        let near = clock::uptime() + Duration::from_millis(10);
        tokio::time::timeout(Duration::from_secs(5), timer.wait(Some(near))).await.unwrap();
    }
}
