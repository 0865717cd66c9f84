//! Reads what the core decides on at a start: the disk, and the TPM's counter.

use std::sync::Arc;

use pawl_proto::Epoch;

use crate::core::Found;
use crate::shared::Shared;
use crate::store::Unfinished;

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
    let counter = shared.tpm.counter().await?.map(|counter| Epoch(counter.epoch));
    let mut found = Found { counter, ..shared.store.examine() };
    if found.needs_attestation_name() {
        found.attestation_name = Some(shared.identity().await?.ak_name.clone());
    }
    Ok(found)
}
