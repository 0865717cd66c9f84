//! The commands that rename, retire and delete a device.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::view::{DeletedView, RenamedView, RetiredView};
use super::{AdminError, Answer, Plane, ReasonRequest, label, parse, short};
use crate::control_plane::ControlPlane;
use crate::orders;

/// Returns the routes of these commands.
pub(super) fn routes() -> Router<Arc<ControlPlane>> {
    Router::new()
        .route("/v1/devices/{device}/rename", post(rename))
        .route("/v1/devices/{device}/retire", post(retire))
        .route("/v1/devices/{device}/delete", post(delete))
}

/// `POST /v1/devices/{device}/rename`
#[derive(Debug, Serialize, Deserialize)]
pub struct RenameRequest {
    /// The operator's name for the device from now on; none removes it.
    pub label: Option<String>,
}

async fn rename(
    State(plane): Plane,
    Path(device): Path<String>,
    Json(request): Json<RenameRequest>,
) -> Answer<RenamedView> {
    let device = parse(&device)?;
    let label = request.label.as_deref().map(label).transpose()?;
    let now = label.as_ref().map(ToString::to_string);
    let before = orders::rename(&plane, device, label).await?;
    Ok(Json(RenamedView { device, label: now, before: before.label }))
}

async fn retire(
    State(plane): Plane,
    Path(device): Path<String>,
    Json(body): Json<ReasonRequest>,
) -> Answer<RetiredView> {
    let device = parse(&device)?;
    let retired = orders::retire(&plane, device, short(&body.reason)?).await?;
    Ok(Json(RetiredView {
        device,
        label: retired.device.label,
        retired_at: retired.at,
        order: retired.order.map(Into::into),
    }))
}

async fn delete(State(plane): Plane, Path(device): Path<String>) -> Answer<DeletedView> {
    let device = parse(&device)?;
    let deleted = orders::delete(&plane, device).await?;
    Ok(Json(DeletedView { device, label: deleted.device.label, deleted_at: deleted.at }))
}

impl AdminError {
    /// Returns why a deleted device cannot be shown.
    pub(super) fn deleted_device(device: pawl_proto::DeviceId) -> Self {
        let message = format!(
            "the device was deleted; its audit records remain: `pawl-control-plane records {device}`"
        );
        Self::new("deleted-device", message)
    }
}
