//! Pairing: the server's half of `pawl_verifier::pairing`. It loads state, calls the verifier and commits.
//!
//! 1. [`offer`] answers a claim with a credential that only the claimed TPM can open.
//! 2. [`open`] opens a session for the opened credential, a report and the certified counter. A device that is not
//!    enrolled is refused here, and listed as pending.
//! 3. [`step`] takes approvals, as many as the policy requires. The last one ends the device's old pairing, and that of a
//!    device that it replaces.
//! 4. [`prove`] grants the pairing for the new keys, which the same TPM made for the approved session.

mod approval;
mod grant;
mod offer;
mod opening;
mod pending;

use std::sync::Arc;

use pawl_evidence::attest::VerifiedQuote;
use pawl_proto::message::{Ending, ShortText, StatementContext};
use pawl_proto::{DeviceId, Epoch};
use pawl_verifier::pairing::{
    AppraisedDevice, Claim, Pairing, PairingBasis, PairingSession, PairingStep, appraise_device,
};
use pawl_verifier::report::{QuotedEvidence, Terms};
use pawl_verifier::session::ApprovalSession;

use crate::control_plane::ControlPlane;
use crate::entitlement;
use crate::off_runtime::off_runtime;
use crate::refusal::RequestError;
use crate::store::{StoreError, Tx};

pub use grant::prove;
pub use offer::offer;
pub use opening::{Progress, open, step};

/// Decodes the data that a pairing's session keeps beside its statement.
pub(crate) fn session_data(session: &ApprovalSession) -> Result<PairingSession, StoreError> {
    PairingSession::decode(&session.body).map_err(|_| StoreError::Malformed("session"))
}

/// Returns the label of a device, and the pairings that an approval ends: its own and that of the device that it replaces.
pub(crate) fn consequences(
    tx: &Tx<'_>,
    device: DeviceId,
    replaces: Option<DeviceId>,
) -> Result<StatementContext, StoreError> {
    let ending = |pairing| ending(tx, pairing);
    let live = tx.live_pairing(device)?;
    let replaced = match replaces {
        Some(replaces) => tx.newest_pairing(replaces)?,
        None => None,
    };
    Ok(StatementContext {
        label: tx.device(device)?.and_then(|device| device.label).map(|label| ShortText::lossy(&label)),
        ends: live.map(ending).transpose()?,
        replaced: replaced.map(ending).transpose()?,
    })
}

fn ending(tx: &Tx<'_>, pairing: Pairing) -> Result<Ending, StoreError> {
    let scopes = entitlement::scopes(tx, &pairing)?;
    Ok(Ending { pairing: pairing.id, epoch: pairing.epoch, paired_at: pairing.paired_at, scopes })
}

/// The evidence in a request for a pairing, and the claim that it belongs to.
struct PairingEvidence {
    claim: Claim,
    epoch: Epoch,
    quoted: QuotedEvidence,
    quote: VerifiedQuote,
}

/// Loads the basis of a device's appraisal.
fn load_basis(tx: &Tx<'_>, device: DeviceId) -> Result<PairingBasis, StoreError> {
    Ok(PairingBasis {
        newest: tx.newest_pairing(device)?,
        accepted: tx.boot_states(device)?,
        highest: tx.high_water(device)?,
    })
}

/// Appraises a device outside of any transaction, and stores its boot state, even if the device is later refused for
/// it: an operator may accept that state. Also returns the basis of the appraisal: the caller must compare it when it
/// commits.
async fn appraise(
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

/// Stores the last evidence of a device, even if the device is refused for it: an operator may learn a policy from it.
fn keep_evidence(tx: &Tx<'_>, device: DeviceId, appraised: &AppraisedDevice) -> Result<(), StoreError> {
    let kept = appraised.report.kept.as_ref().ok_or(StoreError::Malformed("attestation key"))?;
    tx.set_kept_evidence(device, kept, appraised.report.boot_log.as_deref())
}

#[cfg(test)]
mod tests;
