use std::path::PathBuf;

use pawl_evidence::ima::{FileDigestError, SignerError};

/// A policy that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct PolicyError {
    /// The file, or the directory.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a policy.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// It is larger than any that people write.
    #[error("it has more than {0} bytes")]
    TooLong(u64),
    /// Not UTF-8.
    #[error("it is not a text in UTF-8")]
    Text,
    /// Not TOML, or with unknown, missing or mistyped keys.
    #[error("{0}")]
    Parse(Box<toml::de::Error>),
    /// Its name is none of a policy.
    #[error("name it default.toml, or after a device as `pawl-control-plane devices` lists them")]
    Name,
    /// A list of digests has a line that is none.
    #[error("line {line}: {error}")]
    Digest {
        /// Which.
        line: usize,
        /// Why.
        error: FileDigestError,
    },
    /// A signer's certificate cannot be used.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

impl PolicyError {
    pub(super) fn new(file: &std::path::Path, problem: impl Into<Problem>) -> Self {
        Self { file: file.to_owned(), problem: problem.into() }
    }
}
