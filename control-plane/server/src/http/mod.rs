//! The HTTPS API for devices. One file for each route.

mod action;
mod action_approval;
mod approval;
mod approve_page;
mod assurance;
mod authorization;
mod body;
mod connections;
mod health;
mod jwks;
mod pairing;
mod proof;
mod receipt;
mod refusal;
mod server;
mod session;
mod token;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use pawl_proto::limits;
use pawl_proto::message::RefusalCode;

use connections::From;
pub use connections::Network;
pub use server::{ServeError, run};

use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;
use pawl_verifier::Refusal;

/// From the head of a request to its answer; a boot log over a slow modem takes most of it.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Forms, receipts, and approvals with their statement.
const SMALL_BODY: usize = 32 * 1024;
/// An assurance, and what it is to be for.
const QUESTION: usize = limits::ASSURANCE + SMALL_BODY;

/// The routes. Bodies are bounded in length and time before a route sees them.
pub fn router(plane: Arc<ControlPlane>) -> Router {
    Router::new()
        .route("/v1/pairings", post(pairing::begin))
        .route("/v1/pairings/{id}/session", post(session::open))
        .merge(
            Router::new()
                .route("/v1/pairings/{id}/proof", post(proof::prove))
                .layer(middleware::from_fn_with_state(Arc::clone(&plane), limit_address)),
        )
        .layer(middleware::from_fn_with_state(limits::MESSAGE, body::receive))
        .merge(
            Router::new()
                .route("/v1/pairings/{id}/approval", post(approval::step))
                .route(crate::session::APPROVE_PATH, get(approve_page::show))
                .route("/v1/receipts", post(receipt::take))
                .route(crate::token::PATH, post(token::issue))
                .route(crate::action::PATH, post(action::ask))
                .route("/v1/actions/{id}/approval", post(action_approval::step))
                .route("/v1/actions/{id}/authorization", post(authorization::authorize))
                .route("/.well-known/jwks.json", get(jwks::show))
                .route("/v1/health", get(health::show))
                .layer(middleware::from_fn_with_state(SMALL_BODY, body::receive))
                .layer(middleware::from_fn_with_state(Arc::clone(&plane), limit_address)),
        )
        .merge(
            Router::new()
                .route("/v1/assurances/verify", post(assurance::verify))
                .layer(middleware::from_fn_with_state(QUESTION, body::receive))
                .layer(middleware::from_fn_with_state(Arc::clone(&plane), limit_address)),
        )
        .layer(middleware::from_fn(within_time))
        .with_state(plane)
}

async fn within_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

/// Refuses a request, before its body is read, when too many came from its network address. Two routes count against
/// `limits.pairings_per_second` instead, which is lower.
async fn limit_address(
    State(plane): State<Arc<ControlPlane>>,
    From(network): From,
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

#[cfg(test)]
mod tests;
