//! Receipts: the TPM's word that an epoch is over.

use serde::{Deserialize, Serialize};

use super::{ShortText, TpmStructure};
use crate::bounded::Blob;
use crate::codec::Version;
use crate::id::{DeviceId, Epoch, EventId, PairingId};
use crate::open_enum;

/// Device: a receipt and `TPM2_NV_Certify` over the epoch counter; on the receipt channel, or
/// to `POST /v1/receipts` when the broker is out of reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignedReceipt {
    /// The message version.
    pub version: Version,
    /// A [`Receipt`], encoded: the bytes whose SHA-256 is the attestation's qualifying data.
    pub receipt: Blob<2048>,
    /// `TPMS_ATTEST` of `TPM2_NV_Certify`.
    pub attest: TpmStructure,
    /// `TPMT_SIGNATURE` by the attestation key.
    pub signature: TpmStructure,
}

/// What a receipt says. It proves that the keys of the ended epoch are dead, for the TPM
/// certifies the counter; it does not prove that nobody kept a copy of a token in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The message version.
    pub version: Version,
    /// The device.
    pub device: DeviceId,
    /// The pairing that ended.
    pub pairing: PairingId,
    /// The epoch that ended.
    pub ended: Epoch,
    /// The counter's value now, as the attestation certifies it.
    pub epoch: Epoch,
    /// The event that was carried out, if it was one and its id outlived the wipe.
    pub event: Option<EventId>,
    /// What began the wipe.
    pub cause: Cause,
    /// Why.
    pub reason: ShortText,
    /// Unix time of the device, seconds; a device's clock is a hint.
    pub time: u64,
}

open_enum! {
    /// What began a wipe.
    pub enum Cause {
        /// A `revoke` event.
        Revoke = "revoke",
        /// A `repair` event.
        Repair = "repair",
        /// A command on the device.
        Wipe = "wipe",
        /// The counter was found ahead of the pairing at start: a wipe that was cut short, a disk
        /// from before it, or somebody who moved the counter on. Also a granted pairing that the device
        /// could not store.
        Recovery = "recovery",
    }
}
