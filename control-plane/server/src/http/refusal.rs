use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use pawl_proto::limits;
use pawl_proto::message::RefusalCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::refusal::RequestError;
use pawl_verifier::Refusal;

/// The media type of every pairing message.
const CBOR: &str = "application/cbor";

/// A message as the body of an answer.
pub(super) fn cbor<T: Serialize>(status: StatusCode, message: &T) -> Response {
    match pawl_proto::encode(message) {
        Ok(body) => (status, [(header::CONTENT_TYPE, CBOR)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A message from the body of a request, whose length the router has bounded.
pub(super) fn decode<T: serde::Serialize + DeserializeOwned>(body: &Bytes) -> Result<T, RequestError> {
    pawl_proto::decode(body, limits::MESSAGE)
        .map_err(|error| Refusal { code: RefusalCode::Malformed, message: error.to_string() }.into())
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        let refusal = match self {
            Self::Refused(refusal) => refusal,
            Self::Failed(error) => {
                tracing::error!(%error, "a request failed");
                let message = "the control plane has a problem of its own; try again later".to_owned();
                Refusal { code: RefusalCode::Busy, message }
            }
        };
        tracing::debug!(code = %refusal.code, message = %refusal.message, "request refused");
        cbor(status(refusal.code), &refusal.to_message())
    }
}

fn status(code: RefusalCode) -> StatusCode {
    match code {
        RefusalCode::EpochSpent => StatusCode::CONFLICT,
        RefusalCode::Stale => StatusCode::GONE,
        RefusalCode::Malformed => StatusCode::BAD_REQUEST,
        RefusalCode::Busy => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::FORBIDDEN,
    }
}
