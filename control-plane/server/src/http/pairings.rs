//! The routes of pairings.
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use pawl_proto::SessionId;
use pawl_proto::id::IdError;
use pawl_proto::message::{RefusalCode, Waiting};
use pawl_verifier::Refusal;

use super::body::{cbor, decode};
use super::connections::{ClientNetwork, Network};
use crate::control_plane::ControlPlane;
use crate::pairing::{self, Progress};
use crate::refusal::RequestError;

/// `POST /v1/pairings`: answers a claim with 200 and an offer.
pub(super) async fn begin(
    State(plane): State<Arc<ControlPlane>>,
    ClientNetwork(network): ClientNetwork,
    body: Bytes,
) -> Result<Response, RequestError> {
    admit(&plane, network)?;
    let offer = pairing::offer(&plane, decode(&body)?).await?;
    Ok(cbor(StatusCode::OK, &offer))
}

/// Refuses a request when its network has made too many: nobody is authenticated yet, and an answer costs milliseconds.
fn admit(plane: &ControlPlane, network: Network) -> Result<(), Refusal> {
    if plane.pairings.admit(network, plane.clock.monotonic_ms()) {
        return Ok(());
    }
    tracing::debug!(%network, "too many requests for pairings");
    Err(Refusal::new(
        RefusalCode::Busy,
        "too many requests for pairings come from this address; try again in a minute",
    ))
}

/// `POST /v1/pairings/{id}/session`: opens a session for a proof. 200 when it is approved, 202 while approvals are missing.
pub(super) async fn open(
    State(plane): State<Arc<ControlPlane>>,
    Path(id): Path<String>,
    ClientNetwork(network): ClientNetwork,
    body: Bytes,
) -> Result<Response, RequestError> {
    admit(&plane, network)?;
    Ok(progress(pairing::open(&plane, session_id(&id)?, decode(&body)?, network).await?))
}

/// Parses the session id of a path.
pub(super) fn session_id(text: &str) -> Result<SessionId, Refusal> {
    text.parse().map_err(|error: IdError| Refusal::new(RefusalCode::Malformed, error))
}

/// `POST /v1/pairings/{id}/approval`: takes an approval or a confirmation from the device, or reports the session. 200 when
/// it is approved, 202 while approvals are missing.
pub(super) async fn step(
    State(plane): State<Arc<ControlPlane>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, RequestError> {
    Ok(progress(pairing::step(&plane, session_id(&id)?, decode(&body)?).await?))
}

fn progress(progress: Progress) -> Response {
    match progress {
        Progress::Approved(approved) => cbor(StatusCode::OK, &*approved),
        Progress::Waiting(waiting) => accepted(&waiting),
    }
}

/// Answers 202 with the time to ask again (RFC 9110, section 10.2.3).
pub(super) fn accepted(waiting: &Waiting) -> Response {
    let mut response = cbor(StatusCode::ACCEPTED, waiting);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(waiting.retry_after));
    response
}

/// `POST /v1/pairings/{id}/proof`: answers the proof of the new keys with 201 and the grant.
pub(super) async fn prove(
    State(plane): State<Arc<ControlPlane>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, RequestError> {
    let grant = pairing::prove(&plane, session_id(&id)?, decode(&body)?).await?;
    Ok(cbor(StatusCode::CREATED, &grant))
}

const PAGE: &str = "\
<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Approve a device</title>
<h1>Approve a device</h1>
<p>Approvals are signed with your SSH key, so this page cannot give one.
<p>On a host where you have that key and may administer the control plane, run
<pre>pawl-control-plane approve --code CODE --sign-with ~/.ssh/id_ed25519</pre>
<p>CODE is what the device shows: twelve letters in groups of four. It is also in this page's
address, after the <code>#</code>. Compare it with the screen of the device that you mean to approve, read the request
that the command shows, and then read the confirmation that it prints to the person at the device.
<p>Nobody will ever ask you for a code that is not on a screen in front of you or of somebody you know.
";

/// `GET /approve`: the page behind the verification URI. The code follows the `#` of that URI. Browsers do not send
/// that part, so no log of the server contains the code.
pub(super) async fn show_approve_page() -> impl IntoResponse {
    let headers = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, Html(PAGE))
}
