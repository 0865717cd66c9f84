//! The pairing before an approved one: it ends before anything new is made.

use std::sync::Arc;
use std::time::Instant;

use pawl_proto::Epoch;
use pawl_proto::Text;
use pawl_proto::message::Cause;

use super::start;
use crate::shared::Shared;
use crate::store::{Approved, PairingRecord};
use crate::wipe;

/// The order to end it.
pub(super) fn order(approved: &Approved) -> wipe::Order {
    let reason = approved.statement().map_or_else(
        |_| "a new pairing was approved".to_owned(),
        |statement| format!("a new pairing was approved: {}", statement.reason),
    );
    wipe::Order { cause: Cause::Repair, event: None, reason: Text::lossy(&reason), arrived: Instant::now() }
}

/// Ends the pairing on the disk, as far as that has not been done.
///
/// # Errors
/// When the TPM does not even tell its counter.
pub(super) async fn end(
    shared: &Arc<Shared>,
    approved: &Approved,
    order: wipe::Order,
) -> Result<(), pawl_tpm::Error> {
    let Some(record) = of_this_tpm(shared, approved) else { return Ok(()) };
    let counter = shared.tpm.counter().await?.map(|counter| Epoch(counter.epoch));
    if counter == Some(record.epoch) {
        let order = start::revocation_of(shared, &record).map_or(order, start::owed);
        wipe::wipe(shared, &record, order).await;
    } else if counter > Some(record.epoch) {
        start::finish(shared, &record).await;
    }
    Ok(())
}

/// Whether an approval that was kept still says something to this device: this TPM asked, and no
/// pairing has been made since.
///
/// # Errors
/// When the TPM does not tell its attestation key.
pub(super) async fn is_due(shared: &Shared, approved: &Approved) -> Result<bool, pawl_tpm::Error> {
    if shared.identity().await?.ak_name != approved.attestation_name.as_bytes() {
        return Ok(false);
    }
    Ok(of_this_tpm(shared, approved).is_none_or(|record| record.epoch <= approved.answer.above))
}

/// The pairing on the disk, if the TPM that the approval is for made it.
fn of_this_tpm(shared: &Shared, approved: &Approved) -> Option<PairingRecord> {
    let record = shared.store.pairing().ok().flatten();
    record.filter(|record| record.attestation_name == approved.attestation_name)
}
