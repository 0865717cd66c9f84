//! The HTTPS API: its routes, and the handlers of receipts, tokens and health. `pairings` and `actions` have the
//! others.

mod actions;
mod body;
mod connections;
mod pairings;
mod server;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Request, State};
use axum::http::header::{self, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use pawl_proto::limits;
use pawl_proto::message::{RefusalCode, SignedReceipt};
use pawl_verifier::Refusal;
use serde::Serialize;

use crate::broker::{ClientIds, Subscriptions};
use crate::control_plane::ControlPlane;
use crate::orders::{self, ReceiptError};
use crate::refusal::RequestError;
use crate::token::{self, JwkSet, TokenError, TokenErrorBody, TokenErrorCode, TokenRequest};
use connections::ClientNetwork;

pub use connections::Network;
pub use server::{ServeError, run};

/// Time from the head of a request to its answer; a boot log over a slow modem takes most of it.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Limit for forms, receipts, and approvals with their statement.
const SMALL_BODY: usize = 32 * 1024;
/// Limit for a question: an assurance and the action that it must allow.
const QUESTION: usize = limits::ASSURANCE + SMALL_BODY;

/// Returns the routes. Each body is limited in length and time before its handler runs.
pub fn router(plane: Arc<ControlPlane>) -> Router {
    Router::new()
        .route("/v1/pairings", post(pairings::begin))
        .route("/v1/pairings/{id}/session", post(pairings::open))
        .merge(
            Router::new()
                .route("/v1/pairings/{id}/proof", post(pairings::prove))
                .layer(middleware::from_fn_with_state(Arc::clone(&plane), limit_address)),
        )
        .layer(middleware::from_fn_with_state(limits::MESSAGE, body::receive))
        .merge(
            Router::new()
                .route("/v1/pairings/{id}/approval", post(pairings::step))
                .route(crate::session::APPROVE_PATH, get(pairings::show_approve_page))
                .route("/v1/receipts", post(receive_receipt))
                .route(crate::token::PATH, post(issue_token))
                .route(crate::action::PATH, post(actions::ask))
                .route("/v1/actions/{id}/approval", post(actions::step))
                .route("/v1/actions/{id}/authorization", post(actions::authorize))
                .route("/.well-known/jwks.json", get(show_jwks))
                .route("/v1/health", get(show_health))
                .layer(middleware::from_fn_with_state(SMALL_BODY, body::receive))
                .layer(middleware::from_fn_with_state(Arc::clone(&plane), limit_address)),
        )
        .merge(
            Router::new()
                .route("/v1/assurances/verify", post(actions::verify_assurance))
                .layer(middleware::from_fn_with_state(QUESTION, body::receive))
                .layer(middleware::from_fn_with_state(Arc::clone(&plane), limit_address)),
        )
        .layer(middleware::from_fn(limit_time))
        .with_state(plane)
}

async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

/// Refuses a request, before its body is read, when too many came from its network. Claims and openings of sessions count
/// against the lower `limits.pairings_per_second` instead.
async fn limit_address(
    State(plane): State<Arc<ControlPlane>>,
    ClientNetwork(network): ClientNetwork,
    request: Request,
    next: Next,
) -> Response {
    if plane.requests.admit(network, plane.clock.monotonic_ms()) {
        return next.run(request).await;
    }
    tracing::debug!(%network, "too many requests");
    let message = "too many requests come from this address; try again in a minute";
    RequestError::from(Refusal::new(RefusalCode::Busy, message)).into_response()
}

/// `POST /v1/receipts`, for devices that cannot reach the broker: 204, or 200 with the signed event that ended the
/// epoch if the device does not know it. The client is not authenticated; the attestation key's signature authenticates
/// the receipt.
async fn receive_receipt(State(plane): State<Arc<ControlPlane>>, body: Bytes) -> Response {
    let result = match pawl_proto::decode::<SignedReceipt>(&body, limits::ORDER) {
        Ok(signed) => orders::receive_receipt(&plane, None, signed).await,
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Ok(Some(event)) => ([(CONTENT_TYPE, "application/cose")], event).into_response(),
        Err(ReceiptError::Store(error)) => {
            tracing::error!(%error, "cannot store a receipt");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Err(error) => {
            tracing::warn!(%error, "receipt refused");
            let status = match error {
                ReceiptError::Decode(_) => StatusCode::BAD_REQUEST,
                _ => StatusCode::FORBIDDEN,
            };
            (status, error.to_string()).into_response()
        }
    }
}

/// `POST /v1/token`: issues an access token (RFC 6749, section 4.4.2).
async fn issue_token(
    State(plane): State<Arc<ControlPlane>>,
    headers: HeaderMap,
    form: Result<Form<TokenRequest>, FormRejection>,
) -> Result<Response, TokenError> {
    let Form(request) = form.map_err(|error| TokenError {
        code: TokenErrorCode::InvalidRequest,
        description: error.body_text(),
    })?;
    let mut proofs = headers.get_all("dpop").iter();
    let (Some(Ok(proof)), None) = (proofs.next().map(|proof| proof.to_str()), proofs.next()) else {
        return Err(TokenError {
            code: TokenErrorCode::InvalidDpopProof,
            description: "send one DPoP header with a proof by the device key".to_owned(),
        });
    };
    let response = token::issue(&plane, request, proof.to_owned()).await?;
    // RFC 6749, section 5.1.
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(response)).into_response())
}

impl IntoResponse for TokenError {
    fn into_response(self) -> Response {
        tracing::debug!(error = %self, "token refused");
        let status = match self.code {
            TokenErrorCode::InvalidClient => StatusCode::UNAUTHORIZED,
            TokenErrorCode::ServerError => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        (status, [(header::CACHE_CONTROL, "no-store")], Json(TokenErrorBody::from(&self))).into_response()
    }
}

/// `GET /.well-known/jwks.json`: the key that verifies access tokens.
async fn show_jwks(State(plane): State<Arc<ControlPlane>>) -> Json<JwkSet> {
    Json(JwkSet::of(plane.keys.signing.token.verifying_key()))
}

/// Answer for load balancers and probes.
#[derive(Serialize)]
struct Health {
    status: &'static str,
    broker: &'static str,
    client_ids: &'static str,
    subscriptions: &'static str,
}

/// `GET /v1/health`: 200 while the server answers requests, even without the broker, which pairing, tokens and receipts
/// do not need. `client_ids` is `free` if the broker does not derive client ids from certificates; `subscriptions` is
/// `refused` if the broker does not let the control plane receive the devices' messages.
async fn show_health(State(plane): State<Arc<ControlPlane>>) -> Json<Health> {
    let broker = if plane.outbox.connected() { "connected" } else { "away" };
    let client_ids = match plane.outbox.client_ids() {
        Some(ClientIds::Bound) => "bound",
        Some(ClientIds::Free) => "free",
        None => "unchecked",
    };
    let subscriptions = match plane.outbox.subscriptions() {
        Some(Subscriptions::Granted) => "granted",
        Some(Subscriptions::Refused) => "refused",
        None => "unchecked",
    };
    Json(Health { status: "ok", broker, client_ids, subscriptions })
}

#[cfg(test)]
mod tests;
