//! Clones and rollbacks: signs that a device is not the one machine that it was.
//!
//! | incident | seen when | in a verdict |
//! | --- | --- | --- |
//! | two places | a run of the daemon reports again after another run, and its clock went on meanwhile | contraindicated, until the pairing ends |
//! | set back | epoch, resets or clock of the TPM are before what was seen, or a receipt contradicts it | contraindicated, while they are |
//! | disk elsewhere, disk of another | a TPM asks to be paired, and its disk was paired with another one | warning, on both devices |
//! | reimaged | a TPM whose pairing lives asks to be paired, and its disk knows of none | warning |
//!
//! The TPM's resets and its clock tell reports apart, and each report repeats the nonce of the verdict before it. What
//! a disk knows is the device's own claim: it raises a warning and decides nothing.

mod history;
mod reason;

use pawl_proto::message::{Finding, PairingRequest, RefusalCode};
use pawl_proto::{DeviceId, Digest};
use serde::{Deserialize, Serialize};

use crate::pairing::Pairing;
use crate::record::Fact;
use crate::refusal::Refusal;

pub use history::{DaemonRun, HistoryUpdate, TpmHistory, TpmSighting, contradiction};
pub use reason::{remedy, weigh};

/// A suspected clone or rollback, open until it is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Its kind.
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
    /// When it was resolved, Unix seconds, and how.
    pub settled: Option<(u64, String)>,
}

/// The kinds of incidents.
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

/// Returns the sign in a refusal: a TPM asks to be paired that was further before. It has proven to be the one that it
/// says it is; nothing but a wipe, which moves its counter on, lets it in.
#[must_use]
pub fn signs_of_refusal(device: DeviceId, refusal: &Refusal) -> Option<Sign> {
    let detail = refusal.message.clone();
    (refusal.code == RefusalCode::WentBackwards).then_some(Sign {
        device,
        kind: IncidentKind::SetBack,
        other: None,
        detail,
    })
}

/// The enrolled device that asks to be paired.
#[derive(Clone, Copy, Debug)]
pub struct PairingSubject<'a> {
    /// Its live pairing.
    pub live: Option<&'a Pairing>,
    /// Whether the device is enrolled whose pairing its disk holds.
    pub is_former_enrolled: bool,
}

/// Returns the signs in what the disk of an enrolled device tells that asks to be paired. The device has proven to be
/// the TPM that it says; what it tells of its disk is its own claim.
#[must_use]
pub fn signs_of_request(request: &PairingRequest, subject: PairingSubject<'_>) -> Vec<Sign> {
    let device = request.device;
    if let Some(former) = request.former.filter(|former| *former != device) {
        let detail = format!("it asks to be paired, and its disk was paired as {former}");
        let mut signs = vec![Sign { device, kind: IncidentKind::DiskOfAnother, other: Some(former), detail }];
        if subject.is_former_enrolled {
            let detail =
                format!("{device} asks to be paired, and has the disk of this device or a copy of it");
            let kind = IncidentKind::DiskElsewhere;
            signs.push(Sign { device: former, kind, other: Some(device), detail });
        }
        return signs;
    }
    let knows_nothing = matches!(request.finding, Finding::NewDisk | Finding::BothNew);
    let reimaged = subject.live.filter(|_| knows_nothing).map(|live| {
        let detail =
            format!("it asks to be paired, and its disk knows nothing of pairing {}, which lives", live.id);
        Sign { device, kind: IncidentKind::Reimaged, other: None, detail }
    });
    reimaged.into_iter().collect()
}

/// Which open incidents of a device are resolved, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Open incidents of these kinds.
    pub kinds: &'static [IncidentKind],
    /// How, for people.
    pub how: &'static str,
}

/// Resolves incidents of a replaced device: where its disk went is known.
pub const REPLACED_OLD: Resolution = Resolution { kinds: &[IncidentKind::DiskElsewhere], how: "replaced" };
/// Resolves incidents of the device that replaces another.
pub const REPLACED_NEW: Resolution =
    Resolution { kinds: &[IncidentKind::DiskOfAnother], how: "it takes the place of the other" };

/// Returns the incidents that a new pairing resolves: its keys are in one TPM and on one disk. `by_person`: a person who
/// was shown what the device found has approved it. Otherwise incidents about the disk stay open.
#[must_use]
pub fn resolved_by_pairing(request: &PairingRequest, by_person: bool) -> Resolution {
    const HOW: &str = "paired anew";
    const TPM: &[IncidentKind] =
        &[IncidentKind::TwoPlaces, IncidentKind::SetBack, IncidentKind::DiskElsewhere];
    let is_disk_known = by_person || request.finding == Finding::NothingChanged;
    Resolution { kinds: if is_disk_known { &IncidentKind::ALL } else { TPM }, how: HOW }
}

/// Returns the digest of open incidents, with which an operator names those that they have seen: it covers each incident and
/// how often it was seen. None if no incident is open.
#[must_use]
pub fn incidents_digest(open: &[Incident]) -> Option<Digest> {
    let lines = open.iter().map(|incident| {
        let Incident { kind, other, first_at, last_at, times, .. } = incident;
        format!("{kind:?} {other:?} {first_at} {last_at} {times}\n")
    });
    let text: String = lines.collect();
    (!open.is_empty()).then(|| Digest::of(text.as_bytes()))
}

#[cfg(test)]
mod tests;
