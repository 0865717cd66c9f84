//! Events, the control plane's orders, and receipts, the TPM's proof that an epoch has ended.

use serde::{Deserialize, Serialize};

use super::{ShortText, TpmStructure};
use crate::bounded::Blob;
use crate::codec::Version;
use crate::id::{DeviceId, Epoch, EventId, PairingId};
use crate::open_enum;

/// Control plane: a signed order. The broker retains it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The message version.
    pub version: Version,
    /// The id of this order, which the receipt repeats.
    pub id: EventId,
    /// The order.
    pub kind: EventKind,
    /// The device.
    pub device: DeviceId,
    /// The epoch that the order is for. The device ignores an order for an earlier one.
    pub epoch: Epoch,
    /// Higher in every event of a device. The device refuses an event that is not higher as a replay.
    pub sequence: u64,
    /// Unix time of the control plane, seconds; for people.
    pub time: u64,
    /// Why.
    pub reason: ShortText,
}

open_enum! {
    /// What an event orders.
    pub enum EventKind {
        /// End the epoch: destroy its keys and tokens.
        Revoke = "revoke",
        /// End the epoch, and pair again.
        Repair = "repair",
        /// Report now.
        Refresh = "refresh",
    }
}

/// Device: a receipt and `TPM2_NV_Certify` over the epoch counter. The device sends it on the receipt channel, or to
/// `POST /v1/receipts` if it cannot reach the broker.
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

/// The content of a receipt. It proves that the keys of the ended epoch are unusable, because the TPM certifies the
/// counter. It does not prove that nobody kept a copy of a token in memory.
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
    /// The counter's present value, which the attestation certifies.
    pub epoch: Epoch,
    /// The event that caused the wipe, if one did and its id is still known.
    pub event: Option<EventId>,
    /// What caused the wipe.
    pub cause: Cause,
    /// Why.
    pub reason: ShortText,
    /// Unix time of the device, seconds. Its clock may be wrong.
    pub time: u64,
}

open_enum! {
    /// What caused a wipe.
    pub enum Cause {
        /// A `revoke` event.
        Revoke = "revoke",
        /// A `repair` event.
        Repair = "repair",
        /// A command on the device.
        Wipe = "wipe",
        /// At its start the daemon found the counter ahead of the pairing: a wipe was interrupted, an older state of the
        /// disk was restored, or somebody else incremented the counter. Also if the device could not store a pairing
        /// that it was granted.
        Recovery = "recovery",
    }
}
