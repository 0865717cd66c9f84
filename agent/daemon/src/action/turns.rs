//! Turns: a limit on the actions that one user begins at the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The user of the caller, as the kernel identifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner(pub(crate) u32);

impl Owner {
    pub(super) const ROOT: Self = Self(0);
}

/// Limit of the actions that one user begins at the same time. Each user has a queue, so that one user's slow actions do not
/// delay another user's.
const TURNS_OF_ONE: usize = 2;

/// The queues of all users who are beginning an action.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<BTreeMap<Owner, Queue>>>);

struct Queue {
    callers: usize,
    turns: Arc<Semaphore>,
}

impl Turns {
    /// Returns a place in this user's queue.
    pub(super) fn queue(&self, owner: Owner) -> Queued {
        let mut queues = self.queues();
        let queue = queues.entry(owner).or_insert_with(Queue::new);
        queue.callers += 1;
        Queued { all: self.clone(), owner, turns: Arc::clone(&queue.turns) }
    }

    fn queues(&self) -> MutexGuard<'_, BTreeMap<Owner, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn new() -> Self {
        Self { callers: 0, turns: Arc::new(Semaphore::new(TURNS_OF_ONE)) }
    }
}

/// A caller who waits for a turn.
pub(super) struct Queued {
    all: Turns,
    owner: Owner,
    turns: Arc<Semaphore>,
}

impl Queued {
    /// Waits for a turn.
    ///
    /// # Errors
    /// Never: no queue is closed.
    pub(super) async fn turn(self) -> Result<Turn, AcquireError> {
        let permit = Arc::clone(&self.turns).acquire_owned().await?;
        Ok(Turn { _permit: permit, _queued: self })
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut queues = self.all.queues();
        if let Some(queue) = queues.get_mut(&self.owner) {
            queue.callers -= 1;
            if queue.callers == 0 {
                queues.remove(&self.owner);
            }
        }
    }
}

/// A turn. Dropping it gives the turn to the next caller.
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
    /// Keeps the queue while a turn in it is held.
    _queued: Queued,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const ALICE: Owner = Owner(1000);
    const BOB: Owner = Owner(1001);

    async fn soon(turn: impl Future<Output = Result<Turn, AcquireError>>) -> Option<Turn> {
        timeout(Duration::from_secs(1), turn).await.ok().map(Result::unwrap)
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_whose_actions_take_long_keeps_no_other_user_waiting() {
        let turns = Turns::default();
        let mut taken = Vec::new();
        for _ in 0..TURNS_OF_ONE {
            taken.push(soon(turns.queue(ALICE).turn()).await.unwrap());
        }
        assert!(soon(turns.queue(ALICE).turn()).await.is_none());
        assert!(soon(turns.queue(BOB).turn()).await.is_some());
        taken.pop();
        assert!(soon(turns.queue(ALICE).turn()).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn no_queue_is_left_of_users_who_have_gone() {
        let turns = Turns::default();
        let taken = soon(turns.queue(ALICE).turn()).await.unwrap();
        drop(turns.queue(ALICE));
        drop(turns.queue(BOB));
        assert_eq!(turns.queues().len(), 1);
        drop(taken);
        assert!(turns.queues().is_empty());
    }
}
