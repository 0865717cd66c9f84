//! Records: the control plane's about a device, the device's own, and both in a bundle.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use pawl_proto::DeviceId;

use super::AdminError;
use super::routes::{Answer, Plane, parse};
use super::view::{DeviceRecordView, RecordView};
use crate::bundle::{self, Bundle};
use crate::control_plane::ControlPlane;
use crate::store::Tx;

pub(super) fn routes() -> Router<Arc<ControlPlane>> {
    Router::new()
        .route("/v1/devices/{device}/records", get(records))
        .route("/v1/devices/{device}/device-records", get(device_records))
        .route("/v1/devices/{device}/bundle", get(bundle))
}

async fn records(State(plane): Plane, Path(device): Path<String>) -> Answer<Vec<RecordView>> {
    let device = parse(&device)?;
    let records = of(&plane, device, move |tx| Ok(tx.records(device)?)).await?;
    Ok(axum::Json(records.into_iter().map(|(record, link)| RecordView::new(record, &link)).collect()))
}

async fn device_records(State(plane): Plane, Path(device): Path<String>) -> Answer<Vec<DeviceRecordView>> {
    let device = parse(&device)?;
    let records = of(&plane, device, move |tx| Ok(tx.device_records(device)?)).await?;
    Ok(axum::Json(records.into_iter().map(DeviceRecordView::from).collect()))
}

async fn bundle(State(plane): Plane, Path(device): Path<String>) -> Answer<Bundle> {
    let device = parse(&device)?;
    let plane_in_tx = Arc::clone(&plane);
    let contents = of(&plane, device, move |tx| Ok(bundle::collect(&plane_in_tx, tx, device)?)).await?;
    let bundle = Bundle::sign(contents, &plane.keys.audit, plane.keys.authority.certificate())
        .map_err(|error| AdminError::new("failed", error))?;
    Ok(axum::Json(bundle))
}

/// Reads something of a device that somebody enrolled.
async fn of<T: Send + 'static>(
    plane: &ControlPlane,
    device: DeviceId,
    read: impl FnOnce(&Tx<'_>) -> Result<T, AdminError> + Send + 'static,
) -> Result<T, AdminError> {
    let read = move |tx: &Tx<'_>| {
        tx.device(device)?.ok_or_else(AdminError::unknown_device)?;
        read(tx)
    };
    plane.store.transaction(read).await
}
