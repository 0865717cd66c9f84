//! Events: the orders of the control plane.

use serde::{Deserialize, Serialize};

use super::ShortText;
use crate::codec::Version;
use crate::id::{DeviceId, Epoch, EventId};
use crate::open_enum;

/// Control plane: an order, signed, retained by the broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The message version.
    pub version: Version,
    /// Names this order; the receipt repeats it.
    pub id: EventId,
    /// What is ordered.
    pub kind: EventKind,
    /// The device.
    pub device: DeviceId,
    /// The epoch that the order is for. An order for an earlier one is history.
    pub epoch: Epoch,
    /// Rises with every event of a device; one that does not rise is a replay.
    pub sequence: u64,
    /// Unix time of the control plane, seconds; for people.
    pub time: u64,
    /// Why.
    pub reason: ShortText,
}

open_enum! {
    /// What is ordered.
    pub enum EventKind {
        /// Destroy the keys and tokens of the epoch.
        Revoke = "revoke",
        /// Destroy them, and pair again.
        Repair = "repair",
        /// Report now.
        Refresh = "refresh",
    }
}
