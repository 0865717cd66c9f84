//! Where the core's inputs come from.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::disk::Disk;
use super::timer::BootTimer;
use crate::core::Input;
use crate::link::LinkEvent;

/// The link, the jobs, the disk and the timer.
pub(super) struct Sources {
    pub(super) link: Option<mpsc::Receiver<LinkEvent>>,
    /// What waits for the TPM or the network.
    pub(super) jobs: JoinSet<Input>,
    pub(super) disk: Disk,
    timer: BootTimer,
}

/// What came.
pub(super) enum Event {
    Input(Input),
    Link(LinkEvent),
}

impl Sources {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { link: None, jobs: JoinSet::new(), disk: Disk::default(), timer: BootTimer::new()? })
    }

    /// Waits for the next event. Dropped before it is ready, it has lost nothing. No source starves another: the one
    /// that is asked first is drawn by lot.
    pub(super) async fn next(&mut self, deadline: Option<Duration>) -> Event {
        tokio::select! {
            event = receive(&mut self.link) => Event::Link(event),
            input = finished(&mut self.jobs) => Event::Input(input),
            input = self.disk.next() => Event::Input(input),
            () = self.timer.wait(deadline) => Event::Input(Input::Timer),
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
        // One that panicked has been reported already; one that was aborted has no result.
        if let Ok(input) = ended {
            return input;
        }
    }
    pending().await
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
                Event::Input(Input::Timer) => timer = true,
                Event::Input(_) => job = true,
                Event::Link(_) => {}
            }
        }
        assert!(timer, "a timer that is due was never served");
        assert!(job, "the result of a job was never served");
    }
}
