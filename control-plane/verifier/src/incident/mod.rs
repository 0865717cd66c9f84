//! Finds clones and rollbacks: signs that a device is no longer one machine with one history.
//!
//! | incident | sign | tier in a verdict |
//! | --- | --- | --- |
//! | two places | a run of the daemon reports again after another run, and its TPM's clock ran meanwhile | contraindicated, until the pairing ends |
//! | set back | the TPM's epoch, resets or clock are before an earlier attestation, or a receipt contradicts it | contraindicated, until the TPM has passed that time |
//! | disk elsewhere, disk of another | a TPM requests a pairing, and its disk was paired with another TPM | warning, on both devices |
//! | reimaged | a TPM with a live pairing requests a pairing, and its disk has none | warning |
//!
//! The TPM's resets and clock order the reports, and each report contains the nonce of the verdict before it. The contents of a
//! disk are the device's own claim: they cause a warning and nothing more.

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
    /// The other device that is involved.
    pub other: Option<DeviceId>,
    /// The sign, described for people.
    pub detail: String,
    /// When the sign was first seen, Unix seconds.
    pub first_at: u64,
    /// When it was last seen, Unix seconds.
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
    /// An older state of its TPM was restored.
    SetBack,
    /// Its disk is in another machine.
    DiskElsewhere,
    /// It holds the disk of another device.
    DiskOfAnother,
    /// Its disk is new, although its pairing is live.
    Reimaged,
}

impl IncidentKind {
    /// All kinds, the worst first.
    pub const ALL: [Self; 5] =
        [Self::TwoPlaces, Self::SetBack, Self::DiskElsewhere, Self::DiskOfAnother, Self::Reimaged];
}

/// Formats the kind as in JSON.
impl std::fmt::Display for IncidentKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// A sign of an incident. If the same incident is open, the caller counts the sign; otherwise it opens the incident and records
/// [`Sign::fact`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// The device.
    pub device: DeviceId,
    /// The kind of incident.
    pub kind: IncidentKind,
    /// The other device that is involved.
    pub other: Option<DeviceId>,
    /// The sign, described for people.
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

/// Returns the sign in a refusal of a TPM that requests a pairing and went back in time. The TPM has proven its identity. Only a
/// wipe, which increments its counter, makes a new pairing possible.
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

/// The enrolled device that requests a pairing.
#[derive(Clone, Copy, Debug)]
pub struct PairingSubject<'a> {
    /// Its live pairing.
    pub live: Option<&'a Pairing>,
    /// Whether the device whose pairing is on its disk is enrolled.
    pub is_former_enrolled: bool,
}

/// Returns the signs in the pairing request of an enrolled device. The device has proven its TPM; the contents of its disk are
/// its own claim.
#[must_use]
pub fn signs_of_request(request: &PairingRequest, subject: PairingSubject<'_>) -> Vec<Sign> {
    let device = request.device;
    if let Some(former) = request.former.filter(|former| *former != device) {
        let detail = format!("it requests a pairing, and its disk was paired as {former}");
        let mut signs = vec![Sign { device, kind: IncidentKind::DiskOfAnother, other: Some(former), detail }];
        if subject.is_former_enrolled {
            let detail =
                format!("{device} requests a pairing, and has the disk of this device or a copy of it");
            let kind = IncidentKind::DiskElsewhere;
            signs.push(Sign { device: former, kind, other: Some(device), detail });
        }
        return signs;
    }
    let has_new_disk = matches!(request.finding, Finding::NewDisk | Finding::BothNew);
    let reimaged = subject.live.filter(|_| has_new_disk).map(|live| {
        let detail = format!("it requests a pairing, and its disk lacks the live pairing {}", live.id);
        Sign { device, kind: IncidentKind::Reimaged, other: None, detail }
    });
    reimaged.into_iter().collect()
}

/// Which open incidents of a device are resolved, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The kinds of the open incidents that are resolved.
    pub kinds: &'static [IncidentKind],
    /// How they are resolved, for people.
    pub how: &'static str,
}

/// Resolves the incidents of a replaced device: its disk is in the device that replaced it.
pub const REPLACED_OLD: Resolution = Resolution { kinds: &[IncidentKind::DiskElsewhere], how: "replaced" };
/// Resolves the incidents of the device that replaces another.
pub const REPLACED_NEW: Resolution =
    Resolution { kinds: &[IncidentKind::DiskOfAnother], how: "it replaced the other device" };

/// Returns the incidents that a new pairing resolves: its keys are in one TPM and on one disk. `by_person`: whether a person
/// who saw the device's finding approved the pairing. Otherwise, incidents about the disk stay open.
#[must_use]
pub fn resolved_by_pairing(request: &PairingRequest, by_person: bool) -> Resolution {
    const HOW: &str = "paired again";
    const TPM: &[IncidentKind] =
        &[IncidentKind::TwoPlaces, IncidentKind::SetBack, IncidentKind::DiskElsewhere];
    let is_disk_known = by_person || request.finding == Finding::NothingChanged;
    Resolution { kinds: if is_disk_known { &IncidentKind::ALL } else { TPM }, how: HOW }
}

/// Returns the digest of open incidents, by which an operator names the incidents that they have examined. It covers each
/// incident and how often it was seen. `None` if no incident is open.
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
