//! What a device is told when it gets no pairing, or no authorization for an action.

use pawl_proto::codec::EncodeError;
use pawl_proto::message::{PairingRefusal, RefusalCode, ShortText};

use crate::store::StoreError;
use crate::verdict::IssueError;

/// A request that was refused: why, for programs and for a technician.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// What is wrong and what to do.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: RefusalCode, message: impl std::fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    /// The message on the wire.
    #[must_use]
    pub fn to_message(&self) -> PairingRefusal {
        PairingRefusal {
            version: Default::default(),
            code: self.code,
            message: ShortText::lossy(&self.message),
        }
    }
}

/// A request that comes to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The control plane's own trouble.
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
