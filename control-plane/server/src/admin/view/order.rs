use pawl_proto::message::{EventKind, Standing};
use pawl_proto::{DeviceId, EventId};
use serde::{Deserialize, Serialize};

use crate::orders::{Ordered, Standings};

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// The broker has it.
    Published,
    /// It is stored, and is published when the broker is back.
    Stored,
}

/// `revoke`, `repair` and `refresh`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderView {
    /// The event.
    pub id: EventId,
    /// What was ordered.
    pub kind: EventKind,
    /// Of whom.
    pub device: DeviceId,
    /// For which epoch.
    pub epoch: u64,
    /// The event's number.
    pub sequence: u64,
    /// When, Unix seconds.
    pub time: u64,
    /// When it was handed to the broker, Unix milliseconds.
    pub published_at_ms: Option<u64>,
    /// When the broker acknowledged it, Unix milliseconds.
    pub acknowledged_at_ms: Option<u64>,
    /// How far it has come.
    pub delivery: Delivery,
}

/// `suspend` and `resume`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandingView {
    /// The device.
    pub device: DeviceId,
    /// Its standing now.
    pub standing: Standing,
    /// The number of the suspension that began or ended; `resume` names it.
    pub suspension: u64,
    /// The verdict that tells it; none where it has no live pairing.
    pub sequence: Option<u64>,
    /// How far that verdict has come.
    pub delivery: Delivery,
}

impl From<Ordered> for OrderView {
    fn from(ordered: Ordered) -> Self {
        let Ordered { event, delivered_at_ms } = ordered;
        Self {
            id: event.id,
            kind: event.kind,
            device: event.device,
            epoch: event.epoch.0,
            sequence: event.sequence,
            time: event.time,
            published_at_ms: delivered_at_ms.map(|(published, _)| published),
            acknowledged_at_ms: delivered_at_ms.map(|(_, acknowledged)| acknowledged),
            delivery: Delivery::of(delivered_at_ms.is_some()),
        }
    }
}

impl StandingView {
    pub(crate) fn new(device: DeviceId, changed: Standings) -> Self {
        Self {
            device,
            standing: changed.standing,
            suspension: changed.suspension,
            sequence: changed.sequence,
            delivery: Delivery::of(changed.published),
        }
    }
}

impl Delivery {
    pub(super) fn of(published: bool) -> Self {
        if published { Self::Published } else { Self::Stored }
    }
}
