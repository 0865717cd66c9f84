//! `POST /v1/actions/{id}/approval`

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::approval::accepted;
use super::refusal::{cbor, decode};
use super::session::session_id;
use crate::action::{self, Progress};
use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;

/// A step of the device in the session of an action: 200 when it is approved, 202 while somebody
/// has yet to.
pub(super) async fn step(
    State(plane): State<Arc<ControlPlane>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, RequestError> {
    Ok(match action::step(&plane, session_id(&id)?, decode(&body)?).await? {
        Progress::Approved(approved) => cbor(StatusCode::OK, &approved),
        Progress::Waiting(waiting) => accepted(&waiting),
    })
}
