//! Why a request fails.

use pawl_proto::codec::EncodeError;
use pawl_verifier::Refusal;
use pawl_verifier::session::DamagedStatement;

use crate::store::StoreError;
use crate::verdict::IssueError;

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The control plane failed.
    #[error(transparent)]
    Failed(#[from] IssueError),
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<EncodeError> for RequestError {
    fn from(error: EncodeError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<DamagedStatement> for RequestError {
    fn from(error: DamagedStatement) -> Self {
        StoreError::from(error).into()
    }
}
