//! `POST /v1/pairings/{id}/session`

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use pawl_proto::SessionId;
use pawl_proto::id::IdError;
use pawl_proto::message::RefusalCode;

use super::approval::answer;
use super::connections::From;
use super::pairing::admit;
use super::refusal::decode;
use crate::control_plane::ControlPlane;
use crate::pairing;
use crate::refusal::RequestError;
use pawl_verifier::Refusal;

/// The proof that opens a session: 200 when it is approved, 202 while somebody has yet to approve.
pub(super) async fn open(
    State(plane): State<Arc<ControlPlane>>,
    Path(id): Path<String>,
    From(network): From,
    body: Bytes,
) -> Result<Response, RequestError> {
    admit(&plane, network)?;
    Ok(answer(pairing::open(&plane, session_id(&id)?, decode(&body)?, network).await?))
}

/// The session that a path names.
pub(super) fn session_id(text: &str) -> Result<SessionId, Refusal> {
    text.parse().map_err(|error: IdError| Refusal::new(RefusalCode::Malformed, error))
}
