use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::Error;

/// The jobs that wait for the TPM's thread: first in, first out, but every urgent job before any ordinary one.
pub(crate) struct Queue<J> {
    lanes: Mutex<Lanes<J>>,
    changed: Condvar,
}

struct Lanes<J> {
    urgent: VecDeque<J>,
    ordinary: VecDeque<J>,
    open: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Lane {
    Urgent,
    Ordinary,
}

/// A TPM signs a few hundred times a second at best, so a later job would wait for seconds.
const MAX_ORDINARY: usize = 512;

impl<J> Queue<J> {
    pub(crate) fn new() -> Self {
        let lanes = Lanes { urgent: VecDeque::new(), ordinary: VecDeque::new(), open: true };
        Self { lanes: Mutex::new(lanes), changed: Condvar::new() }
    }

    pub(crate) fn push(&self, lane: Lane, job: J) -> Result<(), Error> {
        let mut lanes = self.lock();
        if !lanes.open {
            return Err(Error::Stopped);
        }
        match lane {
            Lane::Urgent => lanes.urgent.push_back(job),
            Lane::Ordinary if lanes.ordinary.len() >= MAX_ORDINARY => return Err(Error::Overloaded),
            Lane::Ordinary => lanes.ordinary.push_back(job),
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for the next job and returns it; `None` once the queue is closed and empty.
    pub(crate) fn pop(&self) -> Option<J> {
        let mut lanes = self.lock();
        loop {
            let next = lanes.urgent.pop_front().or_else(|| lanes.ordinary.pop_front());
            if next.is_some() || !lanes.open {
                return next;
            }
            lanes = self.changed.wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Refuses new jobs; queued jobs will still be done.
    pub(crate) fn close(&self) {
        self.lock().open = false;
        self.changed.notify_all();
    }

    /// Refuses new jobs and drops the queued ones.
    pub(crate) fn abandon(&self) {
        let mut lanes = self.lock();
        lanes.open = false;
        let dropped = (std::mem::take(&mut lanes.urgent), std::mem::take(&mut lanes.ordinary));
        // Dropping a job can run code of callers, so not under the lock.
        drop(lanes);
        drop(dropped);
    }

    /// No code of callers runs under the lock, so the state is consistent even if the lock is poisoned.
    fn lock(&self) -> MutexGuard<'_, Lanes<J>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgent_goes_ahead_of_all_that_waits() {
        let queue = Queue::new();
        for job in ["quote 1", "quote 2"] {
            queue.push(Lane::Ordinary, job).unwrap();
        }
        queue.push(Lane::Urgent, "wipe").unwrap();
        queue.close();
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["wipe", "quote 1", "quote 2"]);
    }

    #[test]
    fn a_full_queue_takes_urgent_work_only() {
        let queue = Queue::new();
        for job in 0..MAX_ORDINARY {
            queue.push(Lane::Ordinary, job).unwrap();
        }
        assert!(matches!(queue.push(Lane::Ordinary, 0), Err(Error::Overloaded)));
        assert!(queue.push(Lane::Urgent, 0).is_ok());
    }

    #[test]
    fn nothing_gets_into_a_closed_queue() {
        let queue = Queue::new();
        queue.push(Lane::Ordinary, 1).unwrap();
        queue.close();
        assert!(matches!(queue.push(Lane::Urgent, 2), Err(Error::Stopped)));
        assert_eq!(queue.pop(), Some(1));
        assert_eq!(queue.pop(), None);
    }
}
