//! Clones and rollbacks that somebody has dealt with.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};

use super::routes::{Answer, Plane, parse, short};
use super::view::SettledView;
use super::{AdminError, SettleRequest};
use crate::control_plane::ControlPlane;
use crate::incident;

/// The commands on incidents.
pub(super) fn routes() -> Router<Arc<ControlPlane>> {
    Router::new().route("/v1/devices/{device}/settle", post(settle))
}

async fn settle(
    State(plane): Plane,
    Path(device): Path<String>,
    Json(body): Json<SettleRequest>,
) -> Answer<SettledView> {
    let device = parse(&device)?;
    let reason = short(&body.reason)?.as_str().to_owned();
    let now = plane.clock.now();
    let settled = plane
        .store
        .transaction(move |tx| {
            tx.device(device)?.ok_or_else(AdminError::unknown_device)?;
            Ok::<_, AdminError>(incident::settle_by_operator(tx, device, body.incidents, reason, now)?)
        })
        .await?;
    Ok(Json(SettledView { device, settled }))
}
