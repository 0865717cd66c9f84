//! Updates: boot states that are approved before a device boots into them, so that its keys work before it has a
//! network.

mod coming;
mod error;

use std::collections::BTreeMap;
use std::sync::Arc;

use pawl_evidence::boot_image::BootChange;
use pawl_evidence::eventlog::DatabaseChange;
use pawl_proto::message::ShortText;
use pawl_proto::{DeviceId, Digest, PcrValue};
use pawl_verifier::pairing::Pairing;
use pawl_verifier::record::Fact;
use pawl_verifier::{AcceptedBy, AcceptedState, BootState};

use crate::control_plane::ControlPlane;
use crate::off_runtime::off_runtime;
use crate::store::{Device, Tx};
use crate::verdict;
use coming::{ComputedUpdate, UpdateBasis};

pub use error::UpdateError;

/// An update that an operator approves ahead.
#[derive(Clone, Debug)]
pub struct Update {
    /// The operator's name for it.
    pub name: ShortText,
    /// What the device will boot; none if only PCRs are given.
    pub boot: Option<BootChange>,
    /// Changes of Secure Boot's databases.
    pub databases: Vec<DatabaseChange>,
    /// What it boots now, against which the computation is verified.
    pub present: Option<BootChange>,
    /// PCR values that the operator gives, of the device's bank.
    pub pcrs: BTreeMap<u8, PcrValue>,
    /// The digest of the present boot state that the operator has seen; none only in a dry run.
    pub state: Option<Digest>,
    /// Whether to only compute the state, without approving it.
    pub dry_run: bool,
}

/// A boot state that is approved ahead.
#[derive(Clone, Debug)]
pub struct PreApproved {
    /// The operator's name for it.
    pub name: String,
    /// The present state.
    pub present: BootState,
    /// The state after the update.
    pub coming: BootState,
}

/// Approves a boot state ahead, and asks the device to report; the answer carries the lease for that state.
///
/// # Errors
/// [`UpdateError`] says why the state cannot be computed or may not be approved.
pub async fn pre_approve(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    update: Update,
) -> Result<PreApproved, UpdateError> {
    let update = Arc::new(update);
    loop {
        let (basis, boot_log) = plane.store.transaction(move |tx| load(tx, device)).await?;
        let (of_plane, of_basis, of_update) = (Arc::clone(plane), basis.clone(), Arc::clone(&update));
        let computed = off_runtime(move || {
            ComputedUpdate::compute(&of_plane.config.lease, &of_basis, boot_log.as_deref(), &of_update)
        });
        let ComputedUpdate { present, coming } = computed.await??;
        #[cfg(test)]
        plane.appraisals.done(&plane.store).await;
        let approved = PreApproved { name: update.name.as_str().to_owned(), present, coming };
        if update.dry_run {
            return Ok(approved);
        }
        let (plane_in_tx, of_approved) = (Arc::clone(plane), approved.clone());
        let is_committed =
            plane.store.transaction(move |tx| commit(&plane_in_tx, tx, device, &basis, &of_approved)).await?;
        if is_committed {
            plane.outbox.wake();
            return Ok(approved);
        }
    }
}

/// Loads the basis of the computation, and the boot log of the last whole report.
fn load(tx: &Tx<'_>, id: DeviceId) -> Result<(UpdateBasis, Option<Vec<u8>>), UpdateError> {
    let (_, basis) = load_basis(tx, id)?;
    let boot_log = tx.boot_log(basis.pairing.id)?;
    Ok((basis, boot_log))
}

fn load_basis(tx: &Tx<'_>, id: DeviceId) -> Result<(Device, UpdateBasis), UpdateError> {
    let (device, pairing) = live(tx, id)?;
    let tier = tx.appraised_verdict(pairing.id)?.and_then(|row| row.verdict.result);
    Ok((device, UpdateBasis { pairing, tier }))
}

/// Approves the computed state. Returns false when its basis has changed since it was computed.
fn commit(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    id: DeviceId,
    basis: &UpdateBasis,
    approved: &PreApproved,
) -> Result<bool, UpdateError> {
    let (device, current) = load_basis(tx, id)?;
    if current != *basis {
        return Ok(false);
    }
    let (name, now) = (approved.name.clone(), plane.clock.now());
    let by = format!("approved ahead by an operator: {name}");
    let pcrs = approved.coming.clone();
    let state = AcceptedState { name, by: AcceptedBy::PreApproval, pcrs, ahead: true, accepted_at: now };
    tx.accept_boot_state(device.id, &state)?;
    tx.record(device.id, now, Fact::accepted(&approved.coming, &by))?;
    verdict::issue(plane, tx, &current.pairing, verdict::ask_for_report(&device, false))?;
    Ok(true)
}

/// Withdraws the states that were approved ahead and that the device has not reached, and asks it to report, so that it
/// drops their leases. Returns how many states there were. A device that cannot be reached keeps the leases until they
/// end.
///
/// # Errors
/// [`UpdateError`]
pub async fn withdraw(plane: &Arc<ControlPlane>, device: DeviceId) -> Result<usize, UpdateError> {
    let plane_in_tx = Arc::clone(plane);
    let withdrawn = plane
        .store
        .transaction(move |tx| {
            let (device, pairing) = live(tx, device)?;
            let withdrawn = tx.withdraw_boot_states(device.id)?;
            if withdrawn > 0 {
                verdict::issue(&plane_in_tx, tx, &pairing, verdict::ask_for_report(&device, false))?;
            }
            Ok::<_, UpdateError>(withdrawn)
        })
        .await?;
    plane.outbox.wake();
    Ok(withdrawn)
}

fn live(tx: &Tx<'_>, id: DeviceId) -> Result<(Device, Pairing), UpdateError> {
    let device = tx.device(id)?.ok_or(UpdateError::UnknownDevice)?;
    let pairing = tx.live_pairing(id)?;
    Ok((device, pairing.ok_or(UpdateError::NotPaired)?))
}

#[cfg(test)]
mod tests;
