//! Reads what the core decides on at a start: the disk, and the TPM's counter.

use std::sync::Arc;

use pawl_proto::Epoch;

use crate::core::Found;
use crate::problem;
use crate::shared::Shared;
use crate::store::{StoreError, Unfinished};

/// Reads disk and counter for a process that begins.
///
/// # Errors
/// When the TPM does not tell its counter.
pub(super) async fn at_start(shared: &Arc<Shared>) -> Result<Found, pawl_tpm::Error> {
    // The space that an earlier process reserved for a pairing. One in the making reserves its own.
    if matches!(shared.store.unfinished(), Unfinished::Nothing) {
        shared.store.release();
    }
    again(shared).await
}

/// Reads disk and counter again.
///
/// # Errors
/// When the TPM does not tell its counter.
pub(super) async fn again(shared: &Arc<Shared>) -> Result<Found, pawl_tpm::Error> {
    let store = &shared.store;
    let (mut completed, mut approved) = (false, None);
    match store.unfinished() {
        Unfinished::Nothing => {}
        Unfinished::Approved(kept) => approved = Some(kept),
        Unfinished::Staged => match store.commit() {
            Ok(()) => completed = true,
            Err(error) => tracing::error!(%error, "a granted pairing cannot take its place yet"),
        },
        Unfinished::Scraps => {
            if let Err(error) = store.discard_unfinished() {
                tracing::error!(%error, "an unfinished pairing stays on the disk");
            }
        }
    }
    let counter = shared.tpm.counter().await?.map(|counter| Epoch(counter.epoch));
    let mut found = Found {
        completed,
        approved,
        pairing: store.pairing().map_err(|error| problem::damaged(&error)),
        keys: store.keys().map(|keys| keys.is_some()).map_err(|error| problem::damaged(&error)),
        revocation: read("revocation", store.revocation()),
        verdict: read("verdict", store.verdict()),
        lease: read("lease", store.lease()),
        receipts: store.receipts().unwrap_or_else(|error| {
            tracing::error!(%error, "the receipts that wait cannot be read");
            Vec::new()
        }),
        counter,
        attestation_name: None,
    };
    if found.needs_attestation_name() {
        found.attestation_name = Some(shared.identity().await?.ak_name.clone());
    }
    Ok(found)
}

fn read<T>(what: &str, outcome: Result<Option<T>, StoreError>) -> Option<T> {
    outcome.unwrap_or_else(|error| {
        tracing::warn!(%error, what, "a file cannot be read; going on without it");
        None
    })
}
