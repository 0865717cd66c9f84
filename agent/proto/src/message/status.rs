//! The status of a device.

use serde::{Deserialize, Serialize};

use crate::codec::Version;
use crate::id::{DeviceId, Epoch};
use crate::open_enum;

/// Device: whether it is on line and in which state; retained, and the last will of its
/// connection. Not signed: a hint for people and dashboards, never a ground for a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The message version.
    pub version: Version,
    /// The device.
    pub device: DeviceId,
    /// Whether it is connected.
    pub online: bool,
    /// Its state.
    pub state: DeviceState,
    /// The epoch of its pairing.
    pub epoch: Epoch,
}

open_enum! {
    /// The states of a device.
    pub enum DeviceState {
        /// No pairing, and none asked for.
        Unpaired = "unpaired",
        /// A pairing is being made.
        Pairing = "pairing",
        /// A valid lease: keys and tokens work.
        Entitled = "entitled",
        /// Paired without a valid lease (drift, silence, suspension); nothing is destroyed.
        Lapsed = "lapsed",
        /// The epoch is over; keys and tokens are destroyed.
        Revoked = "revoked",
    }
}
