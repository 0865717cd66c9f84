//! What operators grant devices.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::routes::{Answer, Plane, parse};
use super::view::AccessView;
use crate::control_plane::ControlPlane;
use crate::entitlement::{self, AccessChange};
use crate::orders;

/// `POST /v1/devices/{device}/entitle`
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct EntitleRequest {
    /// The scopes that are granted in addition.
    pub scopes: Vec<String>,
    /// The audiences that are granted in addition.
    pub audiences: Vec<String>,
    /// The scopes that are taken back.
    pub remove_scopes: Vec<String>,
    /// The audiences that are taken back.
    pub remove_audiences: Vec<String>,
    /// All that is not named to be granted is taken back.
    pub exactly: bool,
}

/// The commands on entitlements.
pub(super) fn routes() -> Router<Arc<ControlPlane>> {
    Router::new().route("/v1/devices/{device}/entitle", post(entitle))
}

async fn entitle(
    State(plane): Plane,
    Path(device): Path<String>,
    Json(request): Json<EntitleRequest>,
) -> Answer<AccessView> {
    let device = parse(&device)?;
    let change = AccessChange {
        add: entitlement::parse(&request.scopes, &request.audiences)?,
        remove: entitlement::parse(&request.remove_scopes, &request.remove_audiences)?,
        exactly: request.exactly,
    };
    Ok(Json(AccessView::new(device, orders::entitle(&plane, device, change).await?)))
}
