use std::sync::Arc;

use pawl_proto::DeviceId;
use pawl_proto::message::Access;

use super::OrderError;
use super::standing::wait_for_delivery;
use crate::control_plane::ControlPlane;
use crate::entitlement::{self, AccessChange};
use crate::store::Tx;
use crate::verdict;
use pawl_verifier::record::Fact;

/// The outcome of a changed grant.
#[derive(Clone, Debug)]
pub struct AccessChanged {
    /// The grant before.
    pub before: Access,
    /// The grant now. If the operator never granted an audience, it contains the control plane's own URL.
    pub now: Access,
    /// The verdict that carries it to the device; none if there is no live pairing or nothing has changed.
    pub sequence: Option<u64>,
    /// Whether the broker has acknowledged that verdict.
    pub published: bool,
}

/// Changes the scopes and audiences that the operator grants a device. The token endpoint applies the change at once; a
/// verdict carries it to the device.
///
/// # Errors
/// [`OrderError`]
pub async fn entitle(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    change: AccessChange,
) -> Result<AccessChanged, OrderError> {
    let listener = plane.outbox.listen();
    let plane_in_tx = Arc::clone(plane);
    let changed = plane
        .store
        .transaction(move |tx| {
            if tx.device(device)?.ok_or(OrderError::UnknownDevice)?.is_retired() {
                return Err(OrderError::Retired);
            }
            entitle_in(&plane_in_tx, tx, device, &change)
        })
        .await?;
    plane.outbox.wake();
    let published = wait_for_delivery(plane, listener, device, changed.sequence).await;
    Ok(AccessChanged { published, ..changed })
}

/// Changes the grant of an enrolled device.
pub(crate) fn entitle_in(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    id: DeviceId,
    change: &AccessChange,
) -> Result<AccessChanged, OrderError> {
    let stored = tx.granted(id)?;
    let before = entitlement::granted(plane, tx, id)?;
    let after = change.apply(&stored)?;
    if after != stored {
        tx.set_granted(id, &after)?;
        tx.record(id, plane.clock.now(), Fact::granted(&after, None))?;
        tracing::info!(device = %id, scopes = ?after.scopes, audiences = ?after.audiences, "granted");
    }
    let sequence = update_pairing(plane, tx, id, change, after != stored)?;
    Ok(AccessChanged { before, now: entitlement::granted(plane, tx, id)?, sequence, published: false })
}

/// Adds newly granted scopes and audiences to the live pairing, which may not have asked for them, and issues a verdict.
/// Returns its number.
fn update_pairing(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    id: DeviceId,
    change: &AccessChange,
    changed: bool,
) -> Result<Option<u64>, OrderError> {
    let (Some(device), Some(mut pairing)) = (tx.device(id)?, tx.live_pairing(id)?) else { return Ok(None) };
    let asked = (pairing.scopes.len(), pairing.audiences.len());
    add(&mut pairing.scopes, &change.add.scopes);
    add(&mut pairing.audiences, &change.add.audiences);
    if !changed && asked == (pairing.scopes.len(), pairing.audiences.len()) {
        return Ok(None);
    }
    tx.set_asked(pairing.id, &pairing.scopes, &pairing.audiences)?;
    let (verdict, _) = verdict::issue(plane, tx, &pairing, verdict::ask_for_report(&device, false))?;
    Ok(Some(verdict.sequence))
}

fn add<T: Clone + PartialEq>(values: &mut Vec<T>, more: &[T]) {
    for value in more {
        if !values.contains(value) {
            values.push(value.clone());
        }
    }
}
