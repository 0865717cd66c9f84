//! `GET /v1/health`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::broker::{ClientIds, Subscriptions};
use crate::control_plane::ControlPlane;

/// For load balancers and probes.
#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
    broker: &'static str,
    client_ids: &'static str,
    subscriptions: &'static str,
}

/// 200 while requests are served. A broker that is away is no ill health: pairing, tokens and
/// receipts go on without it. `client_ids` is `free` where the broker does not take them from
/// certificates; `subscriptions` is `refused` where it keeps from the control plane what devices send.
pub(super) async fn show(State(plane): State<Arc<ControlPlane>>) -> Json<Health> {
    let broker = if plane.outbox.connected() { "connected" } else { "away" };
    let client_ids = match plane.outbox.client_ids() {
        Some(ClientIds::Bound) => "bound",
        Some(ClientIds::Free) => "free",
        None => "unchecked",
    };
    let subscriptions = match plane.outbox.subscriptions() {
        Some(Subscriptions::Granted) => "granted",
        Some(Subscriptions::Refused) => "refused",
        None => "unchecked",
    };
    Json(Health { status: "ok", broker, client_ids, subscriptions })
}
