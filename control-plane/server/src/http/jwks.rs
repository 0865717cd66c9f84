//! `GET /.well-known/jwks.json`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::control_plane::ControlPlane;
use crate::token::JwkSet;

/// The key with which receivers check access tokens.
pub(super) async fn show(State(plane): State<Arc<ControlPlane>>) -> Json<JwkSet> {
    Json(JwkSet::of(plane.keys.signing.token.verifying_key()))
}
