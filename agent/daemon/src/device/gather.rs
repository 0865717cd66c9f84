//! Examines the device for the core: reads the disk and the TPM's counter.

use std::sync::Arc;

use pawl_proto::Epoch;

use crate::core::Found;
use crate::shared::Shared;

/// Reads the disk and the counter. Changes nothing.
///
/// # Errors
/// If the TPM does not return its counter.
pub(super) async fn found(shared: &Arc<Shared>) -> Result<Found, pawl_tpm::Error> {
    let counter = shared.tpm.counter().await?.map(|counter| Epoch(counter.epoch));
    let mut found = Found { counter, ..shared.store.examine() };
    if found.needs_attestation_name() {
        found.attestation_name = Some(shared.identity().await?.ak_name.clone());
    }
    Ok(found)
}
