use pawl_proto::message::{PairingRefusal, RefusalCode, ShortText};

/// The refusal of a request: a code for programs, and a message for technicians.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// The code, for programs.
    pub code: RefusalCode,
    /// The problem and its remedy, for technicians.
    pub message: String,
}

impl Refusal {
    /// Returns a refusal with this code and message.
    pub fn new(code: RefusalCode, message: impl std::fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    /// Returns the wire message.
    #[must_use]
    pub fn to_message(&self) -> PairingRefusal {
        PairingRefusal {
            version: Default::default(),
            code: self.code,
            message: ShortText::lossy(&self.message),
        }
    }
}
