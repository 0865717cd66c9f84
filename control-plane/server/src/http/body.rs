//! Takes in the body of a request, within a length and a time, before its route sees it.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::connections::Client;

/// For a whole body: a report with its boot log over a slow modem takes most of it.
const WHOLE: Duration = Duration::from_secs(45);
/// For its next bytes.
const NEXT: Duration = Duration::from_secs(10);

/// Answers 413 to a body above `limit` bytes, and 408 to one that does not come in time. The
/// connection counts as served from here on: it makes no room for another.
pub(super) async fn receive(State(limit): State<usize>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = match tokio::time::timeout(WHOLE, collect(body, limit)).await {
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
        let frame = match tokio::time::timeout(NEXT, body.frame()).await {
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

/// The rest of the body is not read: no other request can follow on this connection.
fn closing(status: StatusCode) -> Response {
    let mut response = status.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
