//! What commands print: the JSON of `--json`, and the ground of the text.

mod device;
mod entitlement;
mod incident;
mod order;
mod policy;
mod record;
mod session;
mod update;

use serde::{Deserialize, Serialize};

pub use device::{
    DeviceLine, DeviceView, EventView, HighestView, LeaseView, NvPcrView, PairingView, ReceiptView,
    ReportView, ReportedStateView, VerdictView,
};
pub(super) use device::{line, whole};
pub use entitlement::AccessView;
pub use incident::{IncidentView, SettledView};
pub use order::{Delivery, OrderView, StandingView};
use pawl_proto::message::Access;
use pawl_proto::{DeviceId, Digest};
pub use policy::{CheckedView, ExplanationView, LearntView, PolicyView, ReasonView};
pub use record::{DeviceRecordView, RecordView};
pub use session::{ApprovalView, ClaimsView, ConfirmationView, RequestView, SessionView};
pub use update::{AheadView, PcrChange, PreApprovedView, WithdrawnView};

/// `enrol`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The device.
    pub device: DeviceId,
    /// SHA-256 of its endorsement key.
    pub ek_sha256: String,
    /// What the operator calls it.
    pub label: Option<String>,
    /// Whether it may pair without a TPM vendor's certificate.
    pub without_certificate: bool,
    /// What the operator grants it now.
    pub granted: Access,
    /// Whether it was not enrolled before.
    pub new: bool,
}

/// `accept`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The device.
    pub device: DeviceId,
    /// The digest of the boot state.
    pub state: Digest,
    /// How many boot states of it are accepted now.
    pub boot_states: usize,
    /// Whether the one that it last reported was not accepted before.
    pub new: bool,
}
