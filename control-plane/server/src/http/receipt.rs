//! `POST /v1/receipts`, for devices that cannot reach the broker

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use pawl_proto::limits;
use pawl_proto::message::SignedReceipt;

use crate::control_plane::ControlPlane;
use crate::orders::{self, ReceiptError};

/// A receipt: 204, or 200 with the signed event that ended the epoch where the device does not know it. Nobody is
/// authenticated but the attestation key that signed it.
pub(super) async fn take(State(plane): State<Arc<ControlPlane>>, body: Bytes) -> Response {
    let result = match pawl_proto::decode::<SignedReceipt>(&body, limits::ORDER) {
        Ok(signed) => orders::receive_receipt(&plane, None, signed).await,
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Ok(Some(event)) => ([(CONTENT_TYPE, "application/cose")], event).into_response(),
        Err(ReceiptError::Store(error)) => {
            tracing::error!(%error, "a receipt cannot be stored");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Err(error) => {
            tracing::warn!(%error, "a receipt is refused");
            let status = match error {
                ReceiptError::Decode(_) => StatusCode::BAD_REQUEST,
                _ => StatusCode::FORBIDDEN,
            };
            (status, error.to_string()).into_response()
        }
    }
}
