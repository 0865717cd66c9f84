use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::store::{Store, StoreError, Tx};

type Change = Box<dyn FnOnce(&Tx<'_>) -> Result<(), StoreError> + Send>;

/// Counts appraisals, and commits changes of other transactions between appraisals and their commits.
#[derive(Default)]
pub(crate) struct Appraisals(Mutex<(usize, VecDeque<Change>)>);

impl Appraisals {
    /// After the next appraisal that has no change yet, another transaction commits this one.
    pub(crate) fn change(&self, change: impl FnOnce(&Tx<'_>) -> Result<(), StoreError> + Send + 'static) {
        self.lock().1.push_back(Box::new(change));
    }

    /// How many there were.
    pub(crate) fn count(&self) -> usize {
        self.lock().0
    }

    /// An appraisal is done and not committed.
    pub(crate) async fn done(&self, store: &Store) {
        let change = {
            let mut inner = self.lock();
            inner.0 += 1;
            inner.1.pop_front()
        };
        if let Some(change) = change {
            store.transaction(change).await.unwrap();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (usize, VecDeque<Change>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
