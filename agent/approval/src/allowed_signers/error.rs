use std::io;

use super::principal::NotAPrincipal;
use super::time::{NotATime, Time};
use crate::key::{Fingerprint, KeyError};

/// Why an `allowed_signers` file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllowedSignersError {
    /// It cannot be read.
    #[error("the allowed signers cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is larger than 1 MiB.
    #[error("the allowed signers are longer than 1 MiB")]
    TooLong,
    /// It is not UTF-8.
    #[error("the allowed signers are not text in UTF-8")]
    NotText,
    /// A line is malformed.
    #[error("line {line} of the allowed signers: {error}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        error: LineError,
    },
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// It is too short.
    #[error("expected: PRINCIPALS [OPTIONS] KEY-TYPE BASE64-KEY")]
    Incomplete,
    /// The first word is not a principal.
    #[error(transparent)]
    Principal(#[from] NotAPrincipal),
    /// The key is malformed, or cannot approve.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The line is for a CA.
    #[error("cert-authority is not supported: list each person's own key")]
    CertAuthority,
    /// An option that ssh-keygen(1) does not have.
    #[error("unknown option: expected namespaces=\"…\", valid-after=\"…\" or valid-before=\"…\"")]
    UnknownOption,
    /// An option is given twice.
    #[error("{0} stands there twice")]
    Twice(&'static str),
    /// A value has no quotation marks.
    #[error("the value of {0} must stand in quotation marks: {0}=\"…\"")]
    Quotes(&'static str),
    /// A date is malformed.
    #[error("{option}: {error}")]
    Time {
        /// The option.
        option: &'static str,
        /// What is wrong.
        error: NotATime,
    },
    /// It ends before it starts.
    #[error("valid-before is not later than valid-after")]
    NeverValid,
}

/// Why a verified signature is refused. Show it only to the operator: it says what the list contains.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No line has the key.
    #[error("the key {key} is not among the allowed signers")]
    Unknown {
        /// The key.
        key: Fingerprint,
    },
    /// The line is for other namespaces.
    #[error("line {line} of the allowed signers does not allow the key {key} the namespace `{namespace}`")]
    Namespace {
        /// The key.
        key: Fingerprint,
        /// The line, from 1.
        line: usize,
        /// The namespace of the signature.
        namespace: String,
    },
    /// The line is not valid yet.
    #[error("line {line} of the allowed signers allows the key {key} only from {from} on")]
    NotYetValid {
        /// The key.
        key: Fingerprint,
        /// The line, from 1.
        line: usize,
        /// The first second at which it is valid.
        from: Time,
    },
    /// The line has expired.
    #[error("line {line} of the allowed signers allowed the key {key} only until {until}")]
    Expired {
        /// The key.
        key: Fingerprint,
        /// The line, from 1.
        line: usize,
        /// The last second at which it was valid.
        until: Time,
    },
}

impl Refusal {
    /// Returns which condition of the line failed, as one word.
    #[must_use]
    pub fn binding(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "key",
            Self::Namespace { .. } => "namespace",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::Expired { .. } => "expired",
        }
    }

    /// Returns how many conditions were met; the highest is reported.
    pub(super) fn nearness(&self) -> u8 {
        match self {
            Self::Unknown { .. } => 0,
            Self::Namespace { .. } => 1,
            Self::NotYetValid { .. } | Self::Expired { .. } => 2,
        }
    }
}
