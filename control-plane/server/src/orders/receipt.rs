use std::sync::Arc;

use pawl_evidence::appraise::TpmTime;
use pawl_proto::message::{Cause, Receipt, SignedReceipt};
use pawl_proto::{DecodeError, DeviceId};
use pawl_verifier::receipt::{self, VerifiedReceipt, verify_receipt};

use crate::control_plane::ControlPlane;
use crate::incident;
use crate::store::{StoreError, Tx};

/// Takes a receipt in. Who brings it does not matter: the attestation key's signature is its
/// authentication. `from` is the device on whose topic it came.
///
/// Returns the signed event that ordered the end, if the device does not know what ended its epoch.
///
/// # Errors
/// [`ReceiptError`] says which check failed; nothing is kept of such a receipt.
pub async fn receive(
    plane: &Arc<ControlPlane>,
    from: Option<DeviceId>,
    signed: SignedReceipt,
) -> Result<Option<Vec<u8>>, ReceiptError> {
    let receipt: Receipt = pawl_proto::decode(signed.receipt.as_bytes(), signed.receipt.as_bytes().len())?;
    if from.is_some_and(|device| device != receipt.device) {
        return Err(ReceiptError::OtherDevice);
    }
    let now_ms = plane.clock.now_ms();
    plane.store.transaction(move |tx| receive_in(tx, &receipt, &signed, now_ms)).await
}

fn receive_in(
    tx: &Tx<'_>,
    receipt: &Receipt,
    signed: &SignedReceipt,
    now_ms: u64,
) -> Result<Option<Vec<u8>>, ReceiptError> {
    let VerifiedReceipt { clock, fact } =
        verify_receipt(tx.pairing(receipt.pairing)?.as_ref(), receipt, signed)?;
    let (time, now) = (TpmTime::new(receipt.epoch.0, clock), now_ms / 1000);
    let order = unknown_order(tx, receipt)?;
    if !tx.add_receipt(receipt, signed, now_ms)? {
        return Ok(order);
    }
    // A late receipt is behind what is known. One that contradicts it still proves that its epoch is over.
    match tx.tpm_history(receipt.device)?.raised_to(time) {
        Some(history) => tx.set_tpm_history(receipt.device, &history)?,
        None => incident::check_history(tx, receipt.device, time, now)?,
    }
    // The counter stands at receipt.epoch: every earlier epoch is dead.
    tx.end_pairings_below(receipt.device, receipt.epoch, now)?;
    tx.settle_below(receipt.device, receipt.epoch)?;
    tx.record(receipt.device, now, fact)?;
    tracing::info!(device = %receipt.device, ended = %receipt.ended, epoch = %receipt.epoch, "receipt verified");
    Ok(order)
}

/// Returns the event that ended the device's newest pairing, where the receipt says that the device does not know why its
/// epoch ended: its process was killed between the increment and the write of the cause.
fn unknown_order(tx: &Tx<'_>, receipt: &Receipt) -> Result<Option<Vec<u8>>, StoreError> {
    let newest = tx.newest_pairing(receipt.device)?;
    if receipt.cause != Cause::Recovery || newest.is_none_or(|pairing| pairing.id != receipt.pairing) {
        return Ok(None);
    }
    tx.ending_event(receipt.device, receipt.ended)
}

/// A receipt that proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// It is malformed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It came on another device's topic.
    #[error("the receipt is about another device")]
    OtherDevice,
    /// It does not prove what it says.
    #[error(transparent)]
    Unproven(#[from] receipt::ReceiptError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
