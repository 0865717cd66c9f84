use pawl_proto::DeviceId;
use pawl_proto::message::{Access, Audience, Scope};
use serde::{Deserialize, Serialize};

use super::Delivery;
use crate::orders::AccessChanged;

/// `entitle`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessView {
    /// The device.
    pub device: DeviceId,
    /// What the operator grants it now.
    pub granted: Access,
    /// What it was not granted before.
    pub added: Access,
    /// What was taken back.
    pub removed: Access,
    /// The verdict that tells the device; none where it has no live pairing, or nothing has changed.
    pub sequence: Option<u64>,
    /// How far that verdict has come.
    pub delivery: Delivery,
}

impl AccessView {
    pub(in crate::admin) fn new(device: DeviceId, changed: AccessChanged) -> Self {
        let AccessChanged { before, now, sequence, published } = changed;
        Self {
            device,
            added: beyond(&now, &before),
            removed: beyond(&before, &now),
            granted: now,
            sequence,
            delivery: Delivery::of(published),
        }
    }
}

/// What of the first the second has not.
fn beyond(first: &Access, second: &Access) -> Access {
    let scopes: Vec<Scope> =
        first.scopes.iter().filter(|scope| !second.scopes.contains(scope)).cloned().collect();
    let audiences: Vec<Audience> =
        first.audiences.iter().filter(|audience| !second.audiences.contains(audience)).cloned().collect();
    Access { scopes, audiences }
}
