//! The output of commands: the JSON of `--json`, from which the texts are rendered.

mod device;
mod pairing;
mod pending;
mod policy;
mod record;
mod session;
mod status;
mod update;

use pawl_proto::message::{Access, Audience, EventKind, Scope, Standing};
use pawl_proto::{DeviceId, Digest, EventId};
use serde::{Deserialize, Serialize};

use crate::orders::{AccessChanged, Ordered, StandingChanged};

pub use device::{DeviceLine, DeviceView, HighestView, NvPcrView, ReportedStateView};
pub(super) use device::{device_line, device_view};
pub use pairing::{
    EventView, IncidentView, LeaseView, PairingView, ReceiptView, ReportView, SettledView, VerdictView,
};
pub use pending::PendingView;
pub use policy::{CheckedView, ExplanationView, LearntView, PolicyView, ReasonView};
pub use record::{DeviceRecordView, RecordView};
pub use session::{ApprovalView, ClaimsView, ConfirmationView, RequestView, SessionView};
pub use status::DeviceStatus;
pub use update::{AheadView, PcrChange, PreApprovedView, WithdrawnView};

/// `enrol`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The device.
    pub device: DeviceId,
    /// SHA-256 of its endorsement key.
    pub ek_sha256: String,
    /// The operator's name for it.
    pub label: Option<String>,
    /// Whether it may pair without a TPM vendor's certificate.
    pub without_certificate: bool,
    /// The scopes and audiences that the operator grants it now.
    pub granted: Access,
    /// Whether it was not enrolled before.
    pub new: bool,
}

/// `rename`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RenamedView {
    /// The device.
    pub device: DeviceId,
    /// The operator's name for it now.
    pub label: Option<String>,
    /// The operator's name for it before.
    pub before: Option<String>,
}

/// `retire`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetiredView {
    /// The device.
    pub device: DeviceId,
    /// The operator's name for it.
    pub label: Option<String>,
    /// When it was retired, Unix seconds.
    pub retired_at: u64,
    /// The order to end its pairing; none if no pairing was live.
    pub order: Option<OrderView>,
}

/// `delete`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeletedView {
    /// The device.
    pub device: DeviceId,
    /// The operator's name for it until now.
    pub label: Option<String>,
    /// When it was deleted, Unix seconds.
    pub deleted_at: u64,
}

/// `accept`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The device.
    pub device: DeviceId,
    /// The digest of the boot state.
    pub state: Digest,
    /// How many of its boot states are accepted now.
    pub boot_states: usize,
    /// Whether this state was not accepted before.
    pub new: bool,
}

/// The delivery of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// The broker has it.
    Published,
    /// The control plane has stored it, and publishes it once the broker can be reached.
    Stored,
}

/// `revoke`, `repair` and `refresh`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderView {
    /// The event.
    pub id: EventId,
    /// The kind of the event.
    pub kind: EventKind,
    /// The device.
    pub device: DeviceId,
    /// Its epoch.
    pub epoch: u64,
    /// The event's number.
    pub sequence: u64,
    /// When it was ordered, Unix seconds.
    pub time: u64,
    /// When it was sent to the broker, Unix milliseconds.
    pub published_at_ms: Option<u64>,
    /// When the broker acknowledged it, Unix milliseconds.
    pub acknowledged_at_ms: Option<u64>,
    /// Its delivery.
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
    /// The verdict that carries it to the device; none if there is no live pairing.
    pub sequence: Option<u64>,
    /// The delivery of that verdict.
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
    pub(crate) fn new(device: DeviceId, changed: StandingChanged) -> Self {
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
    fn of(published: bool) -> Self {
        if published { Self::Published } else { Self::Stored }
    }
}

/// `entitle`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessView {
    /// The device.
    pub device: DeviceId,
    /// The scopes and audiences that the operator grants it now.
    pub granted: Access,
    /// The scopes and audiences that were added.
    pub added: Access,
    /// The scopes and audiences that were removed.
    pub removed: Access,
    /// The verdict that carries it to the device; none if there is no live pairing or nothing has changed.
    pub sequence: Option<u64>,
    /// The delivery of that verdict.
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

/// Returns the scopes and audiences of the first that the second does not have.
fn beyond(first: &Access, second: &Access) -> Access {
    let scopes: Vec<Scope> =
        first.scopes.iter().filter(|scope| !second.scopes.contains(scope)).cloned().collect();
    let audiences: Vec<Audience> =
        first.audiences.iter().filter(|audience| !second.audiences.contains(audience)).cloned().collect();
    Access { scopes, audiences }
}
