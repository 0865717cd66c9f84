//! `POST /v1/pairings`

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use pawl_proto::message::RefusalCode;

use super::connections::{From, Network};
use super::refusal::{cbor, decode};
use crate::control_plane::ControlPlane;
use crate::pairing;
use crate::refusal::RequestError;
use pawl_verifier::Refusal;

/// A claim: 200 and an offer.
pub(super) async fn begin(
    State(plane): State<Arc<ControlPlane>>,
    From(network): From,
    body: Bytes,
) -> Result<Response, RequestError> {
    admit(&plane, network)?;
    let offer = pairing::offer(&plane, decode(&body)?).await?;
    Ok(cbor(StatusCode::OK, &offer))
}

/// Whether this network may ask for another pairing now: nobody is authenticated yet, and an answer
/// costs some milliseconds.
pub(super) fn admit(plane: &ControlPlane, network: Network) -> Result<(), Refusal> {
    if plane.pairings.admit(network, plane.clock.monotonic_ms()) {
        return Ok(());
    }
    tracing::debug!(%network, "too many requests for pairings");
    Err(Refusal::new(
        RefusalCode::Busy,
        "too many requests for pairings come from this address; try again in a minute",
    ))
}
