//! Why a configuration is refused.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// The exit status of a program that has no valid configuration (`EX_CONFIG` of sysexits.h).
pub const EXIT_CODE: u8 = 78;

/// Why a configuration is refused, and what to change.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The main file is missing.
    #[error(
        "there is no {}: create it, with `url` and `ca` of the control plane under [control_plane]",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file or directory cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is far longer than any configuration.
    #[error("{} has more than {limit} bytes: it is no configuration of ours", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The size limit in bytes.
        limit: u64,
    },
    /// A key is unknown, or a value is malformed.
    #[error("{origin}: {problem}")]
    Invalid {
        /// The file and line, or the variable.
        origin: Origin,
        /// What is wrong with it.
        problem: String,
    },
    /// A key without a default is in no source.
    #[error("{key} is not set: add it to {}", path.display())]
    MissingKey {
        /// The key, with its table.
        key: &'static str,
        /// The main file.
        path: PathBuf,
    },
}

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// The line, counted from 1, where it is known.
        line: Option<usize>,
    },
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: Some(line) } => write!(f, "{}, line {line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}
