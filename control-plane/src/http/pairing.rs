//! `POST /v1/pairings`

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::refusal::{cbor, decode};
use crate::control_plane::ControlPlane;
use crate::pairing;
use crate::refusal::RequestError;

/// A claim: 200 and an offer.
pub(super) async fn begin(
    State(plane): State<Arc<ControlPlane>>,
    body: Bytes,
) -> Result<Response, RequestError> {
    let offer = pairing::offer(&plane, decode(&body)?).await?;
    Ok(cbor(StatusCode::OK, &offer))
}
