//! `POST /v1/actions/{id}/authorization`

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::refusal::{cbor, decode};
use super::session::session_id;
use crate::action;
use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;

/// A TPM session stands open for the one signature: 200, once.
pub(super) async fn authorize(
    State(plane): State<Arc<ControlPlane>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, RequestError> {
    let authorization = action::authorize(&plane, session_id(&id)?, decode(&body)?).await?;
    Ok(cbor(StatusCode::OK, &authorization))
}
