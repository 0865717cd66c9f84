use pawl_proto::DeviceId;
use serde::{Deserialize, Serialize};

use crate::record::Fact;

/// A suspected clone or rollback, open until it is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// What it is.
    pub kind: IncidentKind,
    /// The other device that it is about.
    pub other: Option<DeviceId>,
    /// What was seen, for people.
    pub detail: String,
    /// When it was seen first, Unix seconds.
    pub first_at: u64,
    /// When it was seen last, Unix seconds.
    pub last_at: u64,
    /// How often it was seen.
    pub times: u64,
    /// When it was resolved, and how.
    pub settled: Option<(u64, String)>,
}

/// What may have become of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum IncidentKind {
    /// Two machines report as this device at the same time.
    TwoPlaces,
    /// Its TPM was put back to an older state.
    SetBack,
    /// Its disk is in another machine.
    DiskElsewhere,
    /// It holds the disk of another device.
    DiskOfAnother,
    /// Its disk is new, although its pairing lives.
    Reimaged,
}

impl IncidentKind {
    /// All of them, the worst first.
    pub const ALL: [Self; 5] =
        [Self::TwoPlaces, Self::SetBack, Self::DiskElsewhere, Self::DiskOfAnother, Self::Reimaged];
}

/// As in JSON.
impl std::fmt::Display for IncidentKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// A sign of an incident. The caller opens the incident, or counts the sign where the same one is open, and records
/// [`Sign::fact`] when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// The device that it is about.
    pub device: DeviceId,
    /// What it is a sign of.
    pub kind: IncidentKind,
    /// The other device that it is about.
    pub other: Option<DeviceId>,
    /// What was seen, for people.
    pub detail: String,
}

impl Sign {
    /// Returns the record of the incident that this sign opens.
    #[must_use]
    pub fn fact(&self) -> Fact {
        let other = self.other.map(|other| other.to_string());
        Fact::Incident { incident: self.kind, other, detail: self.detail.clone() }
    }
}
