//! Runs the writes to the disk on another thread, in their order. A hung disk delays neither a wipe nor a caller: only effects
//! that need the result wait for it.

use std::collections::VecDeque;
use std::future::pending;

use tokio::task::JoinSet;

use crate::core::{Input, Ticket};
use crate::store::StoreError;

type Job = Box<dyn FnOnce() -> Result<(), StoreError> + Send>;

/// The write in progress, and those that wait.
#[derive(Default)]
pub(super) struct Disk {
    waiting: VecDeque<(Ticket, Job)>,
    running: JoinSet<Input>,
}

impl Disk {
    /// Queues a write behind all earlier ones.
    pub(super) fn write(
        &mut self,
        ticket: Ticket,
        job: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
    ) {
        self.waiting.push_back((ticket, Box::new(job)));
        self.begin();
    }

    fn begin(&mut self) {
        if !self.running.is_empty() {
            return;
        }
        if let Some((ticket, job)) = self.waiting.pop_front() {
            self.running
                .spawn_blocking(move || Input::Written(ticket, job().map_err(|error| error.to_string())));
        }
    }

    /// Returns whether a write is in progress.
    pub(super) fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }

    /// Waits for the result of the next write. Cancel-safe.
    pub(super) async fn next(&mut self) -> Input {
        while let Some(ended) = self.running.join_next().await {
            self.begin();
            // A panic in a write has been reported.
            if let Ok(input) = ended {
                return input;
            }
        }
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn writes_are_done_in_their_order() {
        let (mut disk, done) = (Disk::default(), Arc::new(Mutex::new(Vec::new())));
        for number in 0..10_u64 {
            let done = Arc::clone(&done);
            disk.write(Ticket(number), move || {
                std::thread::sleep(std::time::Duration::from_millis(10 - number));
                done.lock().unwrap().push(number);
                Ok(())
            });
        }
        for number in 0..10 {
            assert!(matches!(disk.next().await, Input::Written(Ticket(ticket), Ok(())) if ticket == number));
        }
        assert_eq!(*done.lock().unwrap(), (0..10).collect::<Vec<_>>());
        assert!(!disk.is_busy());
    }
}
