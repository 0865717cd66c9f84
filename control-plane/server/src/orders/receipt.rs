use std::sync::Arc;

use pawl_evidence::appraise::TpmTime;
use pawl_proto::message::{Receipt, SignedReceipt};
use pawl_proto::{DecodeError, DeviceId};
use pawl_verifier::receipt::{self, VerifiedReceipt, verify_receipt};

use crate::control_plane::ControlPlane;
use crate::incident;
use crate::store::{StoreError, Tx};

/// Takes a receipt in. Who brings it does not matter: the attestation key's signature is its
/// authentication. `from` is the device on whose topic it came.
///
/// # Errors
/// [`ReceiptError`] says which check failed; nothing is kept of such a receipt.
pub async fn receive(
    plane: &Arc<ControlPlane>,
    from: Option<DeviceId>,
    signed: SignedReceipt,
) -> Result<(), ReceiptError> {
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
) -> Result<(), ReceiptError> {
    let VerifiedReceipt { clock, fact } =
        verify_receipt(tx.pairing(receipt.pairing)?.as_ref(), receipt, signed)?;
    let (time, now) = (TpmTime::new(receipt.epoch.0, clock), now_ms / 1000);
    if !tx.add_receipt(receipt, signed, now_ms)? {
        return Ok(());
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
    Ok(())
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
