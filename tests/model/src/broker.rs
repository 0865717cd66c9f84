//! The broker, and the network with it, at its worst: all that was ever sent to a device may
//! arrive, at any time, in any order, any number of times, or never; also on another device's
//! topic. So it needs no state of its own: what was sent follows from what the control plane
//! decided, and a delivery takes nothing away.
//!
//! Verdicts need no message at all: each pairing has a lease from its grant on, and a device may
//! find or receive it at any time.

use crate::control_plane::{ControlPlane, PairingState};
use crate::fleet::DeviceId;
use crate::tpm::Epoch;

/// A signed order that ends an epoch: `revoke` and `repair` are one here, since what differs
/// stands in the pairing's record on the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub(crate) device: DeviceId,
    pub(crate) epoch: Epoch,
}

/// Every event that the broker may still hold.
pub(crate) fn events(control_plane: &ControlPlane) -> impl Iterator<Item = Event> {
    control_plane.pairings().iter().filter_map(|pairing| match pairing.state {
        PairingState::Live => None,
        PairingState::Ended(_) => Some(Event { device: pairing.device, epoch: pairing.keys.epoch }),
    })
}
