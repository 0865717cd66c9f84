use std::io;

use super::NotAPrincipal;
use super::time::NotATime;
use crate::key::KeyError;

/// Why an `allowed_signers` file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllowedSignersError {
    /// It cannot be read.
    #[error("the allowed signers cannot be read: {0}")]
    Io(#[from] io::Error),
    /// More than 1 MiB.
    #[error("the allowed signers are longer than 1 MiB")]
    TooLong,
    /// Not UTF-8.
    #[error("the allowed signers are not text in UTF-8")]
    NotText,
    /// A line that is wrong.
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
    /// Too short to be one.
    #[error("expected: PRINCIPALS [OPTIONS] KEY-TYPE BASE64-KEY")]
    Incomplete,
    /// The first word names nobody.
    #[error(transparent)]
    Principal(#[from] NotAPrincipal),
    /// The key cannot approve, or is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Keys that sign other keys.
    #[error("cert-authority is not supported: list each person's own key")]
    CertAuthority,
    /// An option that ssh-keygen(1) does not have.
    #[error("unknown option: expected namespaces=\"…\", valid-after=\"…\" or valid-before=\"…\"")]
    UnknownOption,
    /// An option that may stand there once.
    #[error("{0} stands there twice")]
    Twice(&'static str),
    /// A value without its quotation marks.
    #[error("the value of {0} must stand in quotation marks: {0}=\"…\"")]
    Quotes(&'static str),
    /// A date that is none.
    #[error("{option}: {error}")]
    Time {
        /// Which of the two.
        option: &'static str,
        /// What is wrong.
        error: NotATime,
    },
    /// It can never be valid.
    #[error("valid-before is not later than valid-after")]
    NeverValid,
}
