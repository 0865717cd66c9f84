//! The end of a device's service: it is retired, and may be deleted after that.

use std::sync::Arc;

use pawl_proto::DeviceId;
use pawl_proto::message::{EventKind, ShortText, Standing};
use pawl_verifier::record::Fact;

use super::{OrderError, Ordered, order_in, wait_for_event};
use crate::control_plane::ControlPlane;
use crate::label::Label;
use crate::session;
use crate::store::{Device, Tx};

/// The outcome of a retirement.
#[derive(Clone, Debug)]
pub struct Retired {
    /// The device before.
    pub device: Device,
    /// When it was retired, Unix seconds.
    pub at: u64,
    /// The order to end its pairing; none if no pairing was live.
    pub order: Option<Ordered>,
}

/// Retires a device: its entitlement ends, and its live pairing is revoked. Its history stays. It can be enrolled again.
///
/// # Errors
/// [`OrderError`]
pub async fn retire(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    reason: ShortText,
) -> Result<Retired, OrderError> {
    let listener = plane.outbox.listen();
    let plane_in_tx = Arc::clone(plane);
    let (before, at, event) =
        plane.store.transaction(move |tx| retire_in(&plane_in_tx, tx, device, reason)).await?;
    plane.outbox.wake();
    tracing::info!(%device, "retired");
    let order = match event {
        Some(event) => {
            let delivered_at_ms = wait_for_event(plane, listener, event.id).await;
            Some(Ordered { event, delivered_at_ms })
        }
        None => None,
    };
    Ok(Retired { device: before, at, order })
}

type RetiredIn = (Device, u64, Option<pawl_proto::message::Event>);

fn retire_in(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    id: DeviceId,
    reason: ShortText,
) -> Result<RetiredIn, OrderError> {
    let device = tx.device(id)?.ok_or(OrderError::UnknownDevice)?;
    if device.is_retired() {
        return Err(OrderError::Retired);
    }
    let now = plane.clock.now();
    let text = reason.as_str().to_owned();
    let event = match order_in(plane, tx, id, EventKind::Revoke, reason, None) {
        Ok(event) => Some(event),
        // No pairing is live, or its end is ordered already.
        Err(OrderError::Refused(_)) => None,
        Err(error) => return Err(error),
    };
    session::decline_all(tx, id, &format!("the device was retired: {text}"), now)?;
    // A suspension besides: every decision that looks at the standing refuses a retired device.
    tx.set_standing(id, Standing::Suspended, Some(&format!("retired: {text}")))?;
    tx.set_retired(id, now)?;
    tx.record(id, now, Fact::Retired { reason: text })?;
    Ok((device, now, event))
}

/// The outcome of a deletion.
#[derive(Clone, Debug)]
pub struct Deleted {
    /// The device before.
    pub device: Device,
    /// When it was deleted, Unix seconds.
    pub at: u64,
}

/// Deletes a retired device. Its audit records stay.
///
/// # Errors
/// [`OrderError`]; [`OrderError::NotRetired`] for a device that is in service.
pub async fn delete(plane: &Arc<ControlPlane>, device: DeviceId) -> Result<Deleted, OrderError> {
    let now = plane.clock.now();
    let deleted = plane
        .store
        .transaction(move |tx| {
            let before = tx.device(device)?.ok_or(OrderError::UnknownDevice)?;
            if !before.is_retired() {
                return Err(OrderError::NotRetired);
            }
            tx.delete_device(device, now)?;
            tx.record(device, now, Fact::Deleted { label: before.label.clone() })?;
            Ok(Deleted { device: before, at: now })
        })
        .await?;
    tracing::info!(%device, "deleted");
    Ok(deleted)
}

/// Sets or removes the operator's name for a device. Returns the device as it was before.
///
/// # Errors
/// [`OrderError`]
pub async fn rename(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    label: Option<Label>,
) -> Result<Device, OrderError> {
    let now = plane.clock.now();
    plane
        .store
        .transaction(move |tx| {
            let before = tx.device(device)?.ok_or(OrderError::UnknownDevice)?;
            let label = label.as_ref().map(Label::as_str);
            if before.label.as_deref() != label {
                tx.set_label(device, label)?;
                tx.record(device, now, Fact::Renamed { label: label.map(str::to_owned) })?;
            }
            Ok(before)
        })
        .await
}

#[cfg(test)]
mod tests;
