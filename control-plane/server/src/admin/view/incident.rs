use pawl_proto::DeviceId;
use serde::{Deserialize, Serialize};

use pawl_verifier::incident::remedy;
use pawl_verifier::incident::{Incident, IncidentKind};

/// A sign of a clone or a rollback, in [`super::DeviceView`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentView {
    /// What it is.
    pub kind: IncidentKind,
    /// The other device that it is about.
    pub other: Option<DeviceId>,
    /// What was seen.
    pub detail: String,
    /// When it was seen first.
    pub first_at: u64,
    /// When it was seen last.
    pub last_at: u64,
    /// How often it was seen.
    pub times: u64,
    /// What to do about it; none once it is settled.
    pub to_do: Option<String>,
    /// When it was dealt with.
    pub settled_at: Option<u64>,
    /// How.
    pub settled_by: Option<String>,
}

/// `settle`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettledView {
    /// The device.
    pub device: DeviceId,
    /// How many incidents were open.
    pub settled: usize,
}

impl From<Incident> for IncidentView {
    fn from(incident: Incident) -> Self {
        let to_do = incident.settled.is_none().then(|| remedy(incident.kind).to_owned());
        let (settled_at, settled_by) = incident.settled.unzip();
        Self {
            kind: incident.kind,
            other: incident.other,
            detail: incident.detail,
            first_at: incident.first_at,
            last_at: incident.last_at,
            times: incident.times,
            to_do,
            settled_at,
            settled_by,
        }
    }
}
