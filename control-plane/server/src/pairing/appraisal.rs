//! Appraises a device that asks to be paired, outside of any transaction.

use std::sync::Arc;

use pawl_evidence::attest::VerifiedQuote;
use pawl_proto::{DeviceId, Epoch};
use pawl_verifier::pairing::{AppraisedDevice, Claim, PairingBasis, PairingStep, appraise_device};
use pawl_verifier::report::{QuotedEvidence, Terms};

use crate::control_plane::ControlPlane;
use crate::off_runtime::off_runtime;
use crate::refusal::RequestError;
use crate::store::{StoreError, Tx};

/// Evidence of a device that asks to be paired, and the claim that it belongs to.
pub(super) struct PairingEvidence {
    pub(super) claim: Claim,
    pub(super) epoch: Epoch,
    pub(super) quoted: QuotedEvidence,
    pub(super) quote: VerifiedQuote,
}

/// Loads the state that the appraisal of a device is computed from.
pub(super) fn load_basis(tx: &Tx<'_>, device: DeviceId) -> Result<PairingBasis, StoreError> {
    Ok(PairingBasis {
        newest: tx.newest_pairing(device)?,
        accepted: tx.boot_states(device)?,
        highest: tx.high_water(device)?,
    })
}

/// Appraises a device, and keeps what it runs, also if the device is refused for it later: an operator may accept that
/// state. Returns the state that the appraisal was computed from, too: whoever commits the result compares.
pub(super) async fn appraise(
    plane: &Arc<ControlPlane>,
    evidence: &Arc<PairingEvidence>,
    step: PairingStep,
) -> Result<(PairingBasis, AppraisedDevice), RequestError> {
    let (device, now) = (evidence.claim.device, plane.clock.now());
    let basis = plane.store.transaction(move |tx| load_basis(tx, device)).await?;
    let (of_basis, of_plane, of_evidence) = (basis.clone(), Arc::clone(plane), Arc::clone(evidence));
    let appraised = off_runtime(move || {
        let PairingEvidence { claim, epoch, quoted, quote } = &*of_evidence;
        let policy = of_plane.policies.of(device);
        let terms = Terms { policy: policy.as_deref(), lease: &of_plane.config.lease };
        appraise_device(&of_basis, claim, *epoch, (quoted, quote), terms, step, now)
    })
    .await??;
    #[cfg(test)]
    plane.appraisals.done(&plane.store).await;
    let boot = appraised.boot.clone();
    plane.store.transaction(move |tx| tx.set_reported_state(device, &boot)).await?;
    Ok((basis, appraised))
}

/// Keeps the last evidence of a device, also if the device is refused for it: an operator may learn a policy from it.
pub(super) fn keep_sample(
    tx: &Tx<'_>,
    device: DeviceId,
    appraised: &AppraisedDevice,
) -> Result<(), StoreError> {
    let kept = appraised.report.kept.as_ref().ok_or(StoreError::Malformed("attestation key"))?;
    tx.set_sample(device, kept, appraised.report.boot_log.as_deref())
}
