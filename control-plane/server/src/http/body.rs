//! Bodies of requests and answers. Requests are limited in length and time; refusals become answers.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use pawl_proto::limits;
use pawl_proto::message::RefusalCode;
use pawl_verifier::Refusal;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connections::Client;
use crate::refusal::RequestError;

/// Time for a whole body: a report with its boot log over a slow modem takes most of it.
const BODY_TIMEOUT: Duration = Duration::from_secs(45);
/// Time between two pieces of a body.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a body: answers 413 above `limit` bytes and 408 when it is not complete in time. From then on the connection
/// counts as being served: it is not evicted for another.
pub(super) async fn receive(State(limit): State<usize>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = match tokio::time::timeout(BODY_TIMEOUT, collect(body, limit)).await {
        Ok(Ok(body)) => body,
        Ok(Err(refused)) => return closing(refused),
        Err(_) => return closing(StatusCode::REQUEST_TIMEOUT),
    };
    let client = parts.extensions.get::<Client>().cloned();
    let _serving = client.as_ref().map(Client::serve);
    next.run(Request::from_parts(parts, Body::from(body))).await
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, StatusCode> {
    let mut body = std::pin::pin!(Limited::new(body, limit));
    let mut collected = Vec::new();
    loop {
        let frame = match tokio::time::timeout(FRAME_TIMEOUT, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) if error.is::<LengthLimitError>() => {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            Ok(Some(Err(_))) => return Err(StatusCode::BAD_REQUEST),
            Ok(None) => return Ok(collected.into()),
            Err(_) => return Err(StatusCode::REQUEST_TIMEOUT),
        };
        if let Ok(data) = frame.into_data() {
            collected.extend_from_slice(&data);
        }
    }
}

/// Closes the connection with the answer: the rest of the body is not read, so no other request can follow.
fn closing(status: StatusCode) -> Response {
    let mut response = status.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The media type of every pairing message.
const CBOR: &str = "application/cbor";

/// Answers with a message in CBOR.
pub(super) fn cbor<T: Serialize>(status: StatusCode, message: &T) -> Response {
    match pawl_proto::encode(message) {
        Ok(body) => (status, [(header::CONTENT_TYPE, CBOR)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot encode an answer");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Decodes the body of a request, whose length [`receive`] has limited.
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
                let message = "the control plane could not process the request; try again later".to_owned();
                Refusal { code: RefusalCode::Busy, message }
            }
        };
        tracing::debug!(code = %refusal.code, message = %refusal.message, "request refused");
        cbor(refusal_status(refusal.code), &refusal.to_message())
    }
}

fn refusal_status(code: RefusalCode) -> StatusCode {
    match code {
        RefusalCode::EpochSpent => StatusCode::CONFLICT,
        RefusalCode::Stale => StatusCode::GONE,
        RefusalCode::Malformed => StatusCode::BAD_REQUEST,
        RefusalCode::Busy => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::FORBIDDEN,
    }
}
