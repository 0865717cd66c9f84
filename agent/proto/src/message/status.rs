//! The status of a device.

use serde::{Deserialize, Serialize};

use crate::codec::Version;
use crate::id::{DeviceId, Epoch};

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

/// The states of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceState {
    /// No pairing, and none asked for.
    Unpaired,
    /// A pairing is being made.
    Pairing,
    /// A valid lease: keys and tokens work.
    Entitled,
    /// Paired without a valid lease (drift, silence, suspension); nothing is destroyed.
    Lapsed,
    /// The epoch is over; keys and tokens are destroyed.
    Revoked,
}

impl std::fmt::Display for DeviceState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unpaired => "unpaired",
            Self::Pairing => "pairing",
            Self::Entitled => "entitled",
            Self::Lapsed => "lapsed",
            Self::Revoked => "revoked",
        })
    }
}
