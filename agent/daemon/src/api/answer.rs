//! Answers of the local API: JSON, and for a failure a problem with its remedy.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use pawl_local_api::Problem;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::BODY_LIMIT;
use crate::problem::problem;

pub(super) type Response = hyper::Response<Full<Bytes>>;

/// A status and a body of JSON.
pub(super) struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    closes: bool,
}

impl Answer {
    pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self { status, body, closes: false },
            Err(_) => Self { status: StatusCode::INTERNAL_SERVER_ERROR, body: Vec::new(), closes: false },
        }
    }

    pub(super) fn ok(value: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, value)
    }

    /// Returns 204: the call succeeded, and the answer has no body.
    pub(super) fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: Vec::new(), closes: false }
    }

    /// Returns 403: the caller may not do this, or the device is not entitled.
    pub(super) fn forbidden(problem: &Problem) -> Self {
        Self::json(StatusCode::FORBIDDEN, problem)
    }

    /// Returns 409: the call does not apply in the device's present state.
    pub(super) fn conflict(problem: &Problem) -> Self {
        Self::json(StatusCode::CONFLICT, problem)
    }

    /// Returns 503: the call may succeed later.
    pub(super) fn unavailable(problem: &Problem) -> Self {
        Self::json(StatusCode::SERVICE_UNAVAILABLE, problem)
    }

    pub(super) fn bad_request(reason: impl Into<String>) -> Self {
        let problem = problem("bad-request", reason, "see pawlctl(1) or the documentation of the local API");
        Self::json(StatusCode::BAD_REQUEST, &problem)
    }

    pub(super) fn not_found(method: &Method, path: &str) -> Self {
        let reason = format!("no such call: {method} {path}");
        let problem = problem("no-such-call", reason, "see the documentation of the local API");
        Self::json(StatusCode::NOT_FOUND, &problem)
    }

    /// Returns 429: too many calls wait already.
    pub(super) fn too_many_waiting() -> Self {
        let reason = "too many calls of this process, of this user or of all users wait already";
        let remedy = "ask again later; one process needs one call that waits for the entitlement";
        Self::json(StatusCode::TOO_MANY_REQUESTS, &problem("busy", reason, remedy))
    }

    /// Returns the answer for the state machine's outcome: a value, a problem of the device, or that the state machine has stopped.
    pub(super) fn outcome<T: Serialize>(outcome: Result<Result<T, Problem>, Problem>) -> Self {
        match outcome {
            Ok(Ok(value)) => Self::ok(&value),
            Ok(Err(problem)) => Self::conflict(&problem),
            Err(problem) => Self::unavailable(&problem),
        }
    }

    /// Returns the answer with an order to close the connection after it.
    pub(super) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Reads the body of a request, bounded in length and time.
pub(super) async fn receive(body: Incoming, within: Duration) -> Result<Bytes, Answer> {
    match timeout(within, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(Answer::bad_request(format!("the body cannot be read: {error}"))),
        Err(_) => {
            let reason = format!("the body did not come within {} s", within.as_secs());
            let problem = problem("timeout", reason, "send the whole body at once");
            Err(Answer::json(StatusCode::REQUEST_TIMEOUT, &problem))
        }
    }
}

/// Parses a request's JSON. An empty body counts as an empty object.
pub(super) fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Answer> {
    let json: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(json).map_err(|error| Answer::bad_request(format!("the body: {error}")))
}

/// Returns the value of `key` in a query string, percent-decoded.
pub(super) fn parameter(query: &str, key: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| *name == key)?;
    percent_decode(value)
}

/// Decodes the value of a form field. Returns none for a malformed escape, which the library would keep.
fn percent_decode(text: &str) -> Option<String> {
    let is_escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    Some(percent_decode_str(&text.replace('+', " ")).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_broken_ones_are_none() {
        let query =
            "method=GET&url=https%3A%2F%2Fapi.example%2Fv1%3Fa%3Db&broken=%zz&cut=%4&plus=a+b%2B&latin=%e9";
        assert_eq!(parameter(query, "method").as_deref(), Some("GET"));
        assert_eq!(parameter(query, "url").as_deref(), Some("https://api.example/v1?a=b"));
        assert_eq!(parameter(query, "broken"), None);
        assert_eq!(parameter(query, "cut"), None);
        assert_eq!(parameter(query, "plus").as_deref(), Some("a b+"));
        assert_eq!(parameter(query, "latin"), None);
        assert_eq!(parameter(query, "absent"), None);
    }
}
