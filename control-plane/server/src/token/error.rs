use serde::Serialize;

use crate::entitlement::EntitlementError;
use crate::store::StoreError;

/// A token request that is refused (RFC 6749, section 5.2).
#[derive(Debug, thiserror::Error)]
#[error("{}: {description}", code.as_str())]
pub struct TokenError {
    /// For programs.
    pub code: TokenErrorCode,
    /// For people; it names no secret.
    pub description: String,
}

/// The `error` of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenErrorCode {
    /// The request is malformed.
    InvalidRequest,
    /// Client authentication failed, or this client may have no token now.
    InvalidClient,
    /// Another grant than client credentials.
    UnsupportedGrantType,
    /// A scope that the pairing does not have.
    InvalidScope,
    /// RFC 8707: the resource is none.
    InvalidTarget,
    /// RFC 9449: the proof does not hold.
    InvalidDpopProof,
    /// The control plane's own trouble.
    ServerError,
}

impl TokenErrorCode {
    /// As RFC 6749 and RFC 9449 name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::ServerError => "server_error",
        }
    }

    pub(super) fn with(self, description: impl Into<String>) -> TokenError {
        TokenError { code: self, description: description.into() }
    }
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "token request failed");
        TokenErrorCode::ServerError.with("try again later")
    }
}

/// The JSON of a refusal.
#[derive(Serialize)]
pub(crate) struct TokenErrorBody<'a> {
    error: &'static str,
    error_description: &'a str,
}

impl<'a> From<&'a TokenError> for TokenErrorBody<'a> {
    fn from(error: &'a TokenError) -> Self {
        Self { error: error.code.as_str(), error_description: &error.description }
    }
}

impl From<EntitlementError> for TokenError {
    fn from(error: EntitlementError) -> Self {
        match error {
            EntitlementError::Store(error) => error.into(),
            refused => TokenErrorCode::InvalidClient.with(refused.to_string()),
        }
    }
}
