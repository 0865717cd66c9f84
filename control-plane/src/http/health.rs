//! `GET /v1/health`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::control_plane::ControlPlane;

/// For load balancers and probes.
#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
    broker: &'static str,
}

/// 200 while requests are served. A broker that is away is no ill health: pairing, tokens and
/// receipts go on without it.
pub(super) async fn show(State(plane): State<Arc<ControlPlane>>) -> Json<Health> {
    let broker = if plane.outbox.connected() { "connected" } else { "away" };
    Json(Health { status: "ok", broker })
}
