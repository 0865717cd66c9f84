//! `POST /v1/token`

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::control_plane::ControlPlane;
use crate::token::{self, TokenError, TokenErrorBody, TokenErrorCode, TokenRequest};

/// A token request (RFC 6749, section 4.4.2).
pub(super) async fn issue(
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
    // RFC 6749, section 5.1: no cache keeps it.
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
