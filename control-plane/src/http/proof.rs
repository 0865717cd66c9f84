//! `POST /v1/pairings/{id}/proof`

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use pawl_proto::PairingId;
use pawl_proto::message::RefusalCode;

use super::refusal::{cbor, decode};
use crate::control_plane::ControlPlane;
use crate::pairing::{self, PairingError, Refusal};

/// A proof: 201 and the grant.
pub(super) async fn prove(
    State(plane): State<Arc<ControlPlane>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, PairingError> {
    let id: PairingId = id.parse().map_err(|error: pawl_proto::id::IdError| Refusal {
        code: RefusalCode::Malformed,
        message: error.to_string(),
    })?;
    let grant = pairing::prove(&plane, id, decode(&body)?).await?;
    Ok(cbor(StatusCode::CREATED, &grant))
}
