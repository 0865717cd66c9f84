use std::sync::Arc;

use pawl_proto::DeviceId;
use pawl_proto::message::Access;

use super::event::OrderError;
use super::standing::delivered;
use crate::control_plane::ControlPlane;
use crate::entitlement::{self, AccessChange};
use crate::store::Tx;
use crate::verdict;
use pawl_verifier::record::Fact;

/// A changed grant.
#[derive(Clone, Debug)]
pub struct AccessChanged {
    /// What was granted before.
    pub before: Access,
    /// What is granted now. Where no audience was ever granted, it is the control plane's own URL.
    pub now: Access,
    /// The verdict that tells the device; none where it has no live pairing or nothing has changed.
    pub sequence: Option<u64>,
    /// Whether the broker has taken it.
    pub published: bool,
}

/// Changes what the operator grants a device. The token endpoint follows in the same transaction; a verdict
/// tells the device.
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
            tx.device(device)?.ok_or(OrderError::UnknownDevice)?;
            entitle_in(&plane_in_tx, tx, device, &change)
        })
        .await?;
    plane.outbox.wake();
    let published = delivered(plane, listener, device, changed.sequence).await;
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
    let sequence = tell(plane, tx, id, change, after != stored)?;
    Ok(AccessChanged { before, now: entitlement::granted(plane, tx, id)?, sequence, published: false })
}

/// Gives the live pairing what was granted in words, although it may not have asked for it, and tells the
/// device. Returns the number of the verdict.
fn tell(
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
    let (verdict, _) = verdict::issue(plane, tx, &pairing, verdict::ask(&device, false))?;
    Ok(Some(verdict.sequence))
}

fn add<T: Clone + PartialEq>(values: &mut Vec<T>, more: &[T]) {
    for value in more {
        if !values.contains(value) {
            values.push(value.clone());
        }
    }
}
