//! Finds the device that an operator names.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::{AdminError, Answer, Plane};
use crate::control_plane::ControlPlane;
use crate::lookup::{self, LookupError};
use crate::store::NamedDevice;

/// `POST /v1/lookup`
#[derive(Debug, Serialize, Deserialize)]
pub struct LookupRequest {
    /// An id, a prefix of an id, the SHA-256 of an endorsement key, or a label.
    pub device: String,
}

/// Returns the route of the lookup.
pub(super) fn routes() -> Router<Arc<ControlPlane>> {
    Router::new().route("/v1/lookup", post(find))
}

async fn find(State(plane): Plane, Json(request): Json<LookupRequest>) -> Answer<NamedDevice> {
    let found = plane.store.transaction(move |tx| lookup::find(tx, &request.device)).await?;
    Ok(Json(found))
}

impl From<LookupError> for AdminError {
    fn from(error: LookupError) -> Self {
        let code = match error {
            LookupError::Unknown { .. } | LookupError::NotPending { .. } => "unknown-device",
            LookupError::Ambiguous { .. } | LookupError::AmbiguousPending { .. } => "ambiguous-device",
            LookupError::Store(error) => return error.into(),
        };
        Self { candidates: error.candidates().to_vec(), ..Self::new(code, error) }
    }
}
