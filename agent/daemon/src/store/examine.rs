//! Reads what the core decides on at a start.

use super::{Store, StoreError, Unfinished};
use crate::core::Found;
use crate::problem;

impl Store {
    /// Completes or drops a pairing that an earlier process left in the making, and reads the rest. What the TPM knows
    /// is not in it yet.
    pub fn examine(&self) -> Found {
        let (mut completed, mut approved) = (false, None);
        match self.unfinished() {
            Unfinished::Nothing => {}
            Unfinished::Approved(kept) => approved = Some(kept),
            Unfinished::Staged => match self.commit() {
                Ok(()) => completed = true,
                Err(error) => tracing::error!(%error, "a granted pairing cannot take its place yet"),
            },
            Unfinished::Scraps => {
                if let Err(error) = self.discard_unfinished() {
                    tracing::error!(%error, "an unfinished pairing stays on the disk");
                }
            }
        }
        Found {
            completed,
            approved,
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
