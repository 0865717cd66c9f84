//! `POST /v1/pairings/{id}/approval`

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use pawl_proto::message::Waiting;

use super::refusal::{cbor, decode};
use super::session::session_id;
use crate::control_plane::ControlPlane;
use crate::pairing::{self, Progress};
use crate::refusal::RequestError;

/// A step of the device in its session: 200 when it is approved, 202 while somebody has yet to.
pub(super) async fn step(
    State(plane): State<Arc<ControlPlane>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, RequestError> {
    Ok(answer(pairing::step(&plane, session_id(&id)?, decode(&body)?).await?))
}

pub(super) fn answer(progress: Progress) -> Response {
    match progress {
        Progress::Approved(approved) => cbor(StatusCode::OK, &*approved),
        Progress::Waiting(waiting) => accepted(&waiting),
    }
}

/// 202, and when to ask again (RFC 9110, section 10.2.3).
pub(super) fn accepted(waiting: &Waiting) -> Response {
    let mut response = cbor(StatusCode::ACCEPTED, waiting);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(waiting.retry_after));
    response
}
