//! Reads what the core decides on: the disk, and the TPM's counter.

use std::sync::Arc;

use pawl_proto::Epoch;

use crate::core::Found;
use crate::shared::Shared;

/// Reads disk and counter, and changes neither.
///
/// # Errors
/// When the TPM does not tell its counter.
pub(super) async fn found(shared: &Arc<Shared>) -> Result<Found, pawl_tpm::Error> {
    let counter = shared.tpm.counter().await?.map(|counter| Epoch(counter.epoch));
    let mut found = Found { counter, ..shared.store.examine() };
    if found.needs_attestation_name() {
        found.attestation_name = Some(shared.identity().await?.ak_name.clone());
    }
    Ok(found)
}
