use std::sync::Arc;

use pawl_evidence::appraise::TpmTime;
use pawl_evidence::attest::{AkError, AttestError, AttestationKey};
use pawl_evidence::tpm::{ClockInfo, NvPublic, ParseError, Public};
use pawl_proto::message::{Receipt, SignedReceipt};
use pawl_proto::{DecodeError, DeviceId, Digest, Epoch};

use crate::control_plane::ControlPlane;
use crate::incident;
use crate::posture;
use crate::record::{Attested, Fact};
use crate::store::{Pairing, StoreError, Tx};

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
    let pairing = tx
        .pairing(receipt.pairing)?
        .filter(|pairing| pairing.device == receipt.device)
        .ok_or(ReceiptError::UnknownPairing)?;
    let key = AttestationKey::from_public(Public::unmarshal(&pairing.attestation_key)?)?;
    let clock = verify(&key, &pairing, receipt, signed)?;
    let (time, now) = (TpmTime::new(receipt.epoch.0, clock), now_ms / 1000);
    if !tx.add_receipt(receipt, signed, now_ms)? {
        return Ok(());
    }
    // A late receipt is behind what is known. One that contradicts it still proves that its epoch is over.
    if !posture::raise_high_water(tx, receipt.device, time)? {
        incident::check_history(tx, receipt.device, time, now)?;
    }
    // The counter stands at receipt.epoch: every earlier epoch is dead.
    tx.end_pairings_below(receipt.device, receipt.epoch, now)?;
    tx.settle_below(receipt.device, receipt.epoch)?;
    tx.record(receipt.device, now, fact(receipt, signed, clock))?;
    tracing::info!(device = %receipt.device, ended = %receipt.ended, epoch = %receipt.epoch, "receipt verified");
    Ok(())
}

/// Whether the TPM of that pairing certifies that its epoch is over; gives the TPM's clock.
fn verify(
    key: &AttestationKey,
    pairing: &Pairing,
    receipt: &Receipt,
    signed: &SignedReceipt,
) -> Result<ClockInfo, ReceiptError> {
    let counter = NvPublic::unmarshal(&pairing.counter)?;
    let covered = Digest::of(signed.receipt.as_bytes());
    let attest = key.verify(signed.attest.as_bytes(), signed.signature.as_bytes(), covered.as_bytes())?;
    let value = Epoch(attest.nv_counter(&counter.name())?);
    if value != receipt.epoch || receipt.ended != pairing.epoch || receipt.ended >= value {
        return Err(ReceiptError::Epoch { certified: value });
    }
    Ok(attest.clock())
}

fn fact(receipt: &Receipt, signed: &SignedReceipt, clock: ClockInfo) -> Fact {
    Fact::Receipt {
        ended: receipt.ended.0,
        epoch: receipt.epoch.0,
        event: receipt.event.map(|id| id.to_string()),
        cause: cause_name(receipt),
        reason: receipt.reason.as_str().to_owned(),
        receipt: Digest::of(signed.receipt.as_bytes()).to_string(),
        attested: Some(Attested {
            covers: hex::encode(signed.receipt.as_bytes()),
            attest: hex::encode(signed.attest.as_bytes()),
            signature: hex::encode(signed.signature.as_bytes()),
        }),
        at: Some(clock.into()),
    }
}

fn cause_name(receipt: &Receipt) -> String {
    use pawl_proto::message::Cause;
    match receipt.cause {
        Cause::Revoke => "revoke",
        Cause::Repair => "repair",
        Cause::Wipe => "wipe",
        Cause::Recovery => "recovery",
    }
    .to_owned()
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
    /// There is no such pairing of that device.
    #[error("the receipt is about a pairing that this control plane never granted")]
    UnknownPairing,
    /// The attestation does not hold.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// The epochs in it are not those that the TPM certifies.
    #[error(
        "the receipt does not say what the TPM certifies, a counter of {certified} above the pairing's epoch"
    )]
    Epoch {
        /// The counter's value.
        certified: Epoch,
    },
    /// The stored pairing is damaged.
    #[error("the stored pairing cannot be read: {0}")]
    Pairing(#[from] ParseError),
    /// The stored attestation key is damaged.
    #[error("the stored pairing cannot be read: {0}")]
    Key(#[from] AkError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
