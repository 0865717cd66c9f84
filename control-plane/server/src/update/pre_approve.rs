use std::sync::Arc;

use pawl_proto::DeviceId;

use super::coming::Coming;
use super::{Update, UpdateError};
use crate::control_plane::ControlPlane;
use crate::store::{Device, Tx};
use crate::verdict;
use pawl_verifier::LeasePcrs;
use pawl_verifier::pairing::Pairing;
use pawl_verifier::record::Fact;
use pawl_verifier::{AcceptedBy, AcceptedState, BootState};

/// A boot state that is approved ahead.
#[derive(Clone, Debug)]
pub struct PreApproved {
    /// What the operator calls it.
    pub name: String,
    /// The state in which the device is.
    pub present: BootState,
    /// The one that is to come.
    pub coming: BootState,
}

/// Approves a boot state ahead, and asks the device to report: the answer brings it the lease.
///
/// # Errors
/// [`UpdateError`] says why it cannot be computed, or may not be approved.
pub async fn pre_approve(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    update: Update,
) -> Result<PreApproved, UpdateError> {
    let plane_in_tx = Arc::clone(plane);
    let approved = plane
        .store
        .transaction(move |tx| {
            let (device, pairing) = live(tx, device)?;
            let lease_pcrs = LeasePcrs::of_pairing(&plane_in_tx.config.lease, &pairing);
            let Coming { present, coming } = Coming::compute(&lease_pcrs, tx, &pairing, &update)?;
            let name = update.name.as_str().to_owned();
            if !update.dry_run {
                let now = plane_in_tx.clock.now();
                let state = AcceptedState {
                    name: name.clone(),
                    by: AcceptedBy::PreApproval,
                    pcrs: coming.clone(),
                    ahead: true,
                    accepted_at: now,
                };
                tx.accept_boot_state(device.id, &state)?;
                let by = format!("approved ahead by an operator: {name}");
                tx.record(device.id, now, Fact::accepted(&coming, &by))?;
                verdict::issue(&plane_in_tx, tx, &pairing, verdict::ask(&device, false))?;
            }
            Ok::<_, UpdateError>(PreApproved { name, present, coming })
        })
        .await?;
    plane.outbox.wake();
    Ok(approved)
}

/// Takes back what was approved ahead and has not come, and asks the device to report, so that it gives up
/// the leases; how many states there were. A device out of reach keeps them until they run out.
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
                verdict::issue(&plane_in_tx, tx, &pairing, verdict::ask(&device, false))?;
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
