use pawl_proto::message::{Area, TrustTier};

use super::{Incident, IncidentKind};
use crate::verdict::VerdictDraft;

/// Adds the open incidents to a verdict: the newest of each kind, the worst kind first.
pub fn weigh(draft: &mut VerdictDraft, open: &[Incident]) {
    let newest = |kind: &IncidentKind| open.iter().rfind(|incident| incident.kind == *kind);
    for incident in IncidentKind::ALL.iter().rev().filter_map(newest) {
        let (area, tier) = tier(incident.kind);
        draft.weigh(area, tier, format!("{}; {}", sentence(incident), remedy(incident.kind)));
    }
}

fn tier(kind: IncidentKind) -> (Area, TrustTier) {
    match kind {
        IncidentKind::TwoPlaces => (Area::Hardware, TrustTier::Contraindicated),
        IncidentKind::SetBack => (Area::Freshness, TrustTier::Contraindicated),
        IncidentKind::DiskElsewhere | IncidentKind::DiskOfAnother | IncidentKind::Reimaged => {
            (Area::Hardware, TrustTier::Warning)
        }
    }
}

/// Describes an incident for a technician. The text is short because a reason has at most 256 bytes.
fn sentence(incident: &Incident) -> String {
    let other = incident.other.map(|other| other.to_string()).unwrap_or_default();
    match incident.kind {
        IncidentKind::TwoPlaces => "two machines report as this device: TPM and disk were copied".to_owned(),
        IncidentKind::SetBack => incident.detail.clone(),
        IncidentKind::DiskElsewhere => format!("the disk of this device, or a copy, is in device {other}"),
        IncidentKind::DiskOfAnother => format!("this device has the disk of device {other}"),
        IncidentKind::Reimaged => "the disk of this device was new although it was paired".to_owned(),
    }
}

/// Returns the remedy for an incident.
#[must_use]
pub fn remedy(kind: IncidentKind) -> &'static str {
    match kind {
        IncidentKind::TwoPlaces => {
            "revoke the device, find and end the copy, then pair again where it belongs"
        }
        IncidentKind::SetBack => {
            "if a snapshot was restored on purpose, order a repair; otherwise revoke the device"
        }
        IncidentKind::DiskElsewhere => {
            "its contents are unusable without this TPM; find out who moved it, then settle this"
        }
        IncidentKind::DiskOfAnother => {
            "put the disk back, or replace the other device: pawlctl re-pair --replaces"
        }
        IncidentKind::Reimaged => "if nobody did that on purpose, inspect the device; then settle this",
    }
}

#[cfg(test)]
mod tests {
    use pawl_proto::{DeviceId, limits};

    use super::*;

    #[test]
    fn every_reason_fits_into_its_length_limit() {
        for kind in IncidentKind::ALL {
            let detail = "the TPM went back in time, from reset 4000000000, clock 18446744073709551615 ms \
                          to reset 4000000000, clock 18446744073709551615 ms";
            let incident = Incident {
                kind,
                other: Some(DeviceId::from_digest([7; 32])),
                detail: detail.to_owned(),
                first_at: 1,
                last_at: 1,
                times: 1,
                settled: None,
            };
            let reason = format!("freshness: {}; {}", sentence(&incident), remedy(kind));
            assert!(reason.len() <= limits::TEXT, "{} bytes: {reason}", reason.len());
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.to_string());
        }
    }
}
