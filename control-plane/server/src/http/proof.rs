//! `POST /v1/pairings/{id}/proof`

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::refusal::{cbor, decode};
use super::session::session_id;
use crate::control_plane::ControlPlane;
use crate::pairing;
use crate::refusal::RequestError;

/// A proof: 201 and the grant.
pub(super) async fn prove(
    State(plane): State<Arc<ControlPlane>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, RequestError> {
    let grant = pairing::prove(&plane, session_id(&id)?, decode(&body)?).await?;
    Ok(cbor(StatusCode::CREATED, &grant))
}
