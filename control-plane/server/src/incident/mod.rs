//! Opens, counts and resolves the incidents that `pawl_verifier::incident` finds.

use pawl_evidence::appraise::TpmTime;
use pawl_proto::message::PairingRequest;
use pawl_proto::{DeviceId, Digest};
use pawl_verifier::Refusal;
use pawl_verifier::incident::{
    IncidentKind, PairingSubject, Resolution, Sign, TpmHistory, TpmSighting, contradiction, incidents_digest,
    signs_of_refusal, signs_of_request,
};
use pawl_verifier::record::Fact;

use crate::store::{StoreError, Tx};

/// Opens the incident of a sign, or counts the sign if that incident is already open.
fn add(tx: &Tx<'_>, sign: &Sign, now: u64) -> Result<(), StoreError> {
    let Sign { device, kind, other, detail } = sign;
    if tx.add_incident(*device, *kind, *other, detail, now)? {
        tracing::warn!(%device, incident = %kind, detail, "incident opened");
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
    tx.resolve_incidents(device, resolution.kinds, resolution.how, now)?;
    Ok(())
}

/// Compares a report with the history of its TPM, updates the history, and opens or resolves incidents. Returns false
/// if later reports must not build on this one.
pub(crate) fn follow(tx: &Tx<'_>, sighting: &TpmSighting<'_>) -> Result<bool, StoreError> {
    let device = sighting.device;
    let open = tx.open_incidents(device)?;
    let was_set_back = open.iter().any(|incident| incident.kind == IncidentKind::SetBack);
    let update = tx.tpm_history(device)?.follow(sighting, was_set_back);
    tx.set_tpm_history(device, &update.history)?;
    let now = sighting.now_ms / 1000;
    if let Some(sign) = &update.sign {
        add(tx, sign, now)?;
    }
    if let Some(resolution) = update.resolved {
        resolve(tx, device, resolution, now)?;
    }
    Ok(update.is_forward)
}

/// Opens an incident if a verified attestation contradicts the history of the TPM. This is for attestations without a
/// nonce of the control plane: a receipt, or a report for an ended pairing.
pub(crate) fn check_history(
    tx: &Tx<'_>,
    device: DeviceId,
    time: TpmTime,
    now: u64,
) -> Result<(), StoreError> {
    match contradiction(device, tx.high_water(device)?, time) {
        Some(sign) => add(tx, &sign, now),
        None => Ok(()),
    }
}

/// Opens the incident of a device that is refused a session because its TPM was set back.
pub(crate) fn add_for_refusal(
    tx: &Tx<'_>,
    device: DeviceId,
    refusal: &Refusal,
    now: u64,
) -> Result<(), StoreError> {
    match signs_of_refusal(device, refusal) {
        Some(sign) => add(tx, &sign, now),
        None => Ok(()),
    }
}

/// Opens the incidents that a request for a pairing shows. A request of a device that is not enrolled opens none.
pub(crate) fn add_for_request(tx: &Tx<'_>, request: &PairingRequest, now: u64) -> Result<(), StoreError> {
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
        add(tx, &sign, now)?;
    }
    Ok(())
}

/// Resolves all open incidents of a device for an operator who has seen those with the digest `seen`. Returns how many.
/// It also clears the daemon runs of the TPM's history: reports of a deleted copy must not count against the remaining
/// device.
///
/// # Errors
/// [`ResolveError`] when other incidents are open.
pub fn resolve_by_operator(
    tx: &Tx<'_>,
    device: DeviceId,
    seen: Digest,
    reason: String,
    now: u64,
) -> Result<usize, ResolveError> {
    match incidents_digest(&tx.open_incidents(device)?) {
        Some(open) if open != seen => return Err(ResolveError::Other),
        _ => {}
    }
    let resolved =
        tx.resolve_incidents(device, &IncidentKind::ALL, &format!("an operator: {reason}"), now)?;
    if resolved == 0 {
        return Ok(0);
    }
    let history = TpmHistory { runs: Vec::new(), ..tx.tpm_history(device)? };
    tx.set_tpm_history(device, &history)?;
    let incidents = u64::try_from(resolved).unwrap_or(u64::MAX);
    tx.record(device, now, Fact::IncidentsSettled { reason, incidents })?;
    Ok(resolved)
}

/// Why incidents are not resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// An incident is open that the operator has not seen.
    #[error(
        "the open incidents have changed: inspect them (`pawl-control-plane show`) and name the new digest"
    )]
    Other,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests;
