use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pawl_verifier::event::OrderRefused;
use serde::{Deserialize, Serialize};

use crate::entitlement::AccessError;
use crate::incident::SettleError;
use crate::orders::OrderError;
use crate::session::ApproverError;
use crate::store::{ChainError, StoreError};

/// A command that is refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct AdminError {
    /// For programs, kebab-case.
    pub error: String,
    /// For operators: what is wrong and what to do.
    pub message: String,
}

impl AdminError {
    pub(crate) fn new(error: &str, message: impl std::fmt::Display) -> Self {
        Self { error: error.to_owned(), message: message.to_string() }
    }

    pub(crate) fn unknown_device() -> Self {
        OrderError::UnknownDevice.into()
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a command failed");
        Self::new("failed", error)
    }
}

impl From<ChainError> for AdminError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Store(error) => error.into(),
            ChainError::Broken(_) => Self::new("chain-broken", error),
        }
    }
}

impl From<OrderError> for AdminError {
    fn from(error: OrderError) -> Self {
        let code = match &error {
            OrderError::UnknownDevice => "unknown-device",
            OrderError::Refused(OrderRefused::NotPaired) => "not-paired",
            OrderError::Refused(OrderRefused::Pending { .. }) => "pending",
            OrderError::Refused(_) => "refused",
            OrderError::NothingReported => "nothing-reported",
            OrderError::Uncovered(_) => "uncovered",
            OrderError::Access(_) => "malformed",
            OrderError::OtherState { .. } => "other-state",
            OrderError::NotSuspended => "not-suspended",
            OrderError::OtherSuspension { .. } => "other-suspension",
            OrderError::Failed(error) => {
                tracing::error!(%error, "an order failed");
                "failed"
            }
        };
        Self::new(code, error)
    }
}

impl From<AccessError> for AdminError {
    fn from(error: AccessError) -> Self {
        OrderError::from(error).into()
    }
}

impl From<SettleError> for AdminError {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Other => Self::new("other-incidents", error),
            SettleError::Store(error) => error.into(),
        }
    }
}

impl From<ApproverError> for AdminError {
    fn from(error: ApproverError) -> Self {
        let code = match &error {
            ApproverError::Code(_) => "malformed",
            ApproverError::UnknownCode => "unknown-code",
            ApproverError::WrongCode { .. } => "wrong-code",
            ApproverError::Refused { .. } => "approval-refused",
            ApproverError::NotOpen => "not-open",
            ApproverError::NoApprovers(_) => "no-approvers",
            ApproverError::Store(_) => {
                tracing::error!(%error, "a command failed");
                "failed"
            }
        };
        Self::new(code, error)
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let status = match self.error.as_str() {
            "unknown-device" => StatusCode::NOT_FOUND,
            "failed" | "chain-broken" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::CONFLICT,
        };
        (status, Json(self)).into_response()
    }
}
