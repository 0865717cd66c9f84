use pawl_proto::message::{PairingRefusal, RefusalCode, ShortText};

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
    /// Returns a refusal with this code and message.
    pub fn new(code: RefusalCode, message: impl std::fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    /// Returns the message on the wire.
    #[must_use]
    pub fn to_message(&self) -> PairingRefusal {
        PairingRefusal {
            version: Default::default(),
            code: self.code,
            message: ShortText::lossy(&self.message),
        }
    }
}
