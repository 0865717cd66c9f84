use pawl_proto::Digest;
use pawl_proto::message::{Finding, PairingRequest};

use super::{Incident, IncidentKind};

/// Which open incidents of a device are resolved, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Open incidents of these kinds.
    pub kinds: &'static [IncidentKind],
    /// How, for people.
    pub how: &'static str,
}

/// Of a device whose place another one takes: where its disk went is known.
pub const REPLACED_OLD: Resolution = Resolution { kinds: &[IncidentKind::DiskElsewhere], how: "replaced" };
/// Of the device that takes the place.
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

/// Returns the digest of open incidents, by which an operator names what they have looked at: it covers each
/// incident and how often it was seen. None where nothing is open.
#[must_use]
pub fn incidents_digest(open: &[Incident]) -> Option<Digest> {
    let lines = open.iter().map(|incident| {
        let Incident { kind, other, first_at, last_at, times, .. } = incident;
        format!("{kind:?} {other:?} {first_at} {last_at} {times}\n")
    });
    let text: String = lines.collect();
    (!open.is_empty()).then(|| Digest::of(text.as_bytes()))
}
