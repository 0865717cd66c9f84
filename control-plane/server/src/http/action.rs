//! `POST /v1/actions`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::refusal::cbor;
use crate::action;
use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;

/// A request for a protected action, a compact JWS by the device key: 200 and an offer.
pub(super) async fn ask(
    State(plane): State<Arc<ControlPlane>>,
    request: String,
) -> Result<Response, RequestError> {
    Ok(cbor(StatusCode::OK, &action::ask(&plane, request).await?))
}
