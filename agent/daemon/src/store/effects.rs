//! Reads what the core decides on at a start.

use super::{Store, StoreError};
use crate::core::Found;
use crate::problem;

impl Store {
    /// Reads what a start decides on, without what the TPM knows.
    pub fn examine(&self) -> Found {
        Found {
            unfinished: self.unfinished(),
            pairing: self.pairing().map_err(|error| problem::damaged(&error)),
            keys: self.keys().map(|keys| keys.is_some()).map_err(|error| problem::damaged(&error)),
            revocation: unless_damaged("revocation", self.revocation()),
            verdict: unless_damaged("verdict", self.verdict()),
            lease: unless_damaged("lease", self.lease()),
            receipts: self.receipts().unwrap_or_else(|error| {
                tracing::error!(%error, "the receipts that wait cannot be read");
                Vec::new()
            }),
            counter: None,
            attestation_name: None,
        }
    }
}

fn unless_damaged<T>(what: &str, outcome: Result<Option<T>, StoreError>) -> Option<T> {
    outcome.unwrap_or_else(|error| {
        tracing::warn!(%error, what, "a file cannot be read; going on without it");
        None
    })
}
