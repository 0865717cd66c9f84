//! Incidents, as `pawl_verifier::incident` finds them: opened, counted and resolved in the database.

mod settle;

pub use settle::{SettleError, settle_by_operator};

use pawl_evidence::appraise::TpmTime;
use pawl_proto::DeviceId;
use pawl_proto::message::PairingRequest;
use pawl_verifier::Refusal;
use pawl_verifier::incident::{
    IncidentKind, PairingSubject, Resolution, Sign, TpmSighting, contradiction, signs_of_refusal,
    signs_of_request,
};

use crate::store::{StoreError, Tx};

/// Opens the incident of a sign, or counts the sign where that incident is open.
fn note(tx: &Tx<'_>, sign: &Sign, now: u64) -> Result<(), StoreError> {
    let Sign { device, kind, other, detail } = sign;
    if tx.note_incident(*device, *kind, *other, detail, now)? {
        tracing::warn!(%device, incident = %kind, detail, "an incident");
        tx.record(*device, now, sign.fact())?;
    }
    Ok(())
}

/// Resolves open incidents of a device.
pub(crate) fn resolve(
    tx: &Tx<'_>,
    device: DeviceId,
    resolution: Resolution,
    now: u64,
) -> Result<(), StoreError> {
    tx.settle_incidents(device, resolution.kinds, resolution.how, now)?;
    Ok(())
}

/// Follows a TPM by one report, and opens or resolves incidents. False where no later report may build on this one.
pub(crate) fn follow(tx: &Tx<'_>, sighting: &TpmSighting<'_>) -> Result<bool, StoreError> {
    let device = sighting.device;
    let open = tx.open_incidents(device)?;
    let was_set_back = open.iter().any(|incident| incident.kind == IncidentKind::SetBack);
    let update = tx.tpm_history(device)?.follow(sighting, was_set_back);
    tx.set_tpm_history(device, &update.history)?;
    let now = sighting.now_ms / 1000;
    if let Some(sign) = &update.sign {
        note(tx, sign, now)?;
    }
    if let Some(resolution) = update.resolved {
        resolve(tx, device, resolution, now)?;
    }
    Ok(update.is_forward)
}

/// Opens an incident if a verified attestation on no nonce of ours contradicts what was seen of the TPM: a receipt, or
/// a report for a pairing that has ended.
pub(crate) fn check_history(
    tx: &Tx<'_>,
    device: DeviceId,
    time: TpmTime,
    now: u64,
) -> Result<(), StoreError> {
    match contradiction(device, tx.high_water(device)?, time) {
        Some(sign) => note(tx, &sign, now),
        None => Ok(()),
    }
}

/// Opens the incident of a device that gets no session because its TPM went back.
pub(crate) fn note_refusal(
    tx: &Tx<'_>,
    device: DeviceId,
    refusal: &Refusal,
    now: u64,
) -> Result<(), StoreError> {
    match signs_of_refusal(device, refusal) {
        Some(sign) => note(tx, &sign, now),
        None => Ok(()),
    }
}

/// Opens the incidents of which a request for a pairing has signs. A request of a device that nobody enrolled warns of no
/// other device.
pub(crate) fn note_request(tx: &Tx<'_>, request: &PairingRequest, now: u64) -> Result<(), StoreError> {
    if tx.device(request.device)?.is_none() {
        return Ok(());
    }
    let is_former_enrolled = match request.former {
        Some(former) => tx.device(former)?.is_some(),
        None => false,
    };
    let live = tx.live_pairing(request.device)?;
    let subject = PairingSubject { live: live.as_ref(), is_former_enrolled };
    for sign in signs_of_request(request, subject) {
        note(tx, &sign, now)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
