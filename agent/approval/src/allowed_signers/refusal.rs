use super::time::Time;
use crate::key::Fingerprint;

/// Why a verified signature does not count. For the operator: it says what is listed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No line has the key.
    #[error("the key {key} is not among the allowed signers")]
    Unknown {
        /// The key.
        key: Fingerprint,
    },
    /// Listed for other purposes.
    #[error("line {line} of the allowed signers does not allow the key {key} the namespace `{namespace}`")]
    Namespace {
        /// The key.
        key: Fingerprint,
        /// The line, from 1.
        line: usize,
        /// What the signature is for.
        namespace: String,
    },
    /// Listed from a later time on.
    #[error("line {line} of the allowed signers allows the key {key} only from {from} on")]
    NotYetValid {
        /// The key.
        key: Fingerprint,
        /// The line, from 1.
        line: usize,
        /// The first second at which it counts.
        from: Time,
    },
    /// Listed until an earlier time.
    #[error("line {line} of the allowed signers allowed the key {key} only until {until}")]
    Expired {
        /// The key.
        key: Fingerprint,
        /// The line, from 1.
        line: usize,
        /// The last second at which it counted.
        until: Time,
    },
}

impl Refusal {
    /// In a word, which of a signer's bindings failed.
    #[must_use]
    pub fn binding(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "key",
            Self::Namespace { .. } => "namespace",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::Expired { .. } => "expired",
        }
    }

    /// How near it was to being allowed.
    pub(super) fn nearness(&self) -> u8 {
        match self {
            Self::Unknown { .. } => 0,
            Self::Namespace { .. } => 1,
            Self::NotYetValid { .. } | Self::Expired { .. } => 2,
        }
    }
}
