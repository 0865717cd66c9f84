use pawl_proto::DeviceId;
use pawl_proto::message::{Finding, PairingRequest, RefusalCode};

use super::note;
use crate::refusal::Refusal;
use crate::store::{IncidentKind, StoreError, Tx};

/// Notes that a TPM asks to be paired which was further before. It has proven to be the one that it
/// says; nothing but a wipe, which moves its counter on, lets it in.
///
/// # Errors
/// [`StoreError`]
pub(crate) fn turned_away(
    tx: &Tx<'_>,
    device: DeviceId,
    refusal: &Refusal,
    now: u64,
) -> Result<(), StoreError> {
    match refusal.code {
        RefusalCode::WentBackwards => note(tx, device, IncidentKind::SetBack, None, &refusal.message, now),
        _ => Ok(()),
    }
}

/// Notes what the disk of a device tells that asks to be paired. The device has proven to be the TPM
/// that it says; what it tells of its disk is its own word.
///
/// # Errors
/// [`StoreError`]
pub(crate) fn asked(tx: &Tx<'_>, request: &PairingRequest, now: u64) -> Result<(), StoreError> {
    let device = request.device;
    // What a TPM claims that nobody knows warns of no other device.
    if tx.device(device)?.is_none() {
        return Ok(());
    }
    if let Some(former) = request.former.filter(|former| *former != device) {
        let detail = format!("it asks to be paired, and its disk was paired as {former}");
        note(tx, device, IncidentKind::DiskOfAnother, Some(former), &detail, now)?;
        if tx.device(former)?.is_some() {
            let detail =
                format!("{device} asks to be paired, and has the disk of this device or a copy of it");
            note(tx, former, IncidentKind::DiskElsewhere, Some(device), &detail, now)?;
        }
        return Ok(());
    }
    let knows_nothing = matches!(request.finding, Finding::NewDisk | Finding::BothNew);
    let live = tx.live_pairing(device)?;
    if let Some(live) = live.filter(|_| knows_nothing) {
        let detail =
            format!("it asks to be paired, and its disk knows nothing of pairing {}, which lives", live.id);
        note(tx, device, IncidentKind::Reimaged, None, &detail, now)?;
    }
    Ok(())
}
