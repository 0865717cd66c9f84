use pawl_proto::DeviceId;
use pawl_proto::message::{Finding, PairingRequest, RefusalCode};

use super::{IncidentKind, Sign};
use crate::pairing::Pairing;
use crate::refusal::Refusal;

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
