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

/// Whether an approval that was kept still says something to this device.
///
/// # Errors
/// When the TPM does not tell its attestation key.
pub(super) async fn is_due(shared: &Shared, approved: &Approved) -> Result<bool, pawl_tpm::Error> {
    let identity = shared.identity().await?;
    Ok(addresses(approved, &identity.ak_name, of_this_tpm(shared, approved).as_ref()))
}

/// Whether this TPM asked for what was approved, and no pairing has been made since.
fn addresses(approved: &Approved, attestation_name: &[u8], before: Option<&PairingRecord>) -> bool {
    let asked = approved.attestation_name.as_bytes() == attestation_name;
    asked && before.is_none_or(|before| before.epoch <= approved.answer.above)
}

/// The pairing on the disk, if the TPM that the approval is for made it.
fn of_this_tpm(shared: &Shared, approved: &Approved) -> Option<PairingRecord> {
    let record = shared.store.pairing().ok().flatten();
    record.filter(|record| record.attestation_name == approved.attestation_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{approved, record};

    #[test]
    fn an_approval_counts_for_the_tpm_that_asked_and_for_one_pairing() {
        let approved = approved();
        assert!(addresses(&approved, b"ak", None), "a first pairing");
        assert!(addresses(&approved, b"ak", Some(&record(3))), "the pairing that it ends");
        assert!(!addresses(&approved, b"ak", Some(&record(4))), "a pairing that was made since");
        assert!(!addresses(&approved, b"another", None), "another TPM");
    }
}
