use std::io;
use std::path::PathBuf;

use super::agent::AgentError;
use super::keygen::KeygenError;
use crate::key::{Fingerprint, KeyError, NotAFingerprint};
use crate::sshsig::SignatureError;

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// An agent is wanted and `$SSH_AUTH_SOCK` is not set.
    #[error(
        "there is no ssh-agent (SSH_AUTH_SOCK is not set): log in with `ssh -A`, start one with \
         `eval \"$(ssh-agent)\"`, or name a private key's file"
    )]
    NoAgent,
    /// The agent could not be asked.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// It has no key, or only such as cannot approve.
    #[error("the ssh-agent holds no key that can approve: add one with `ssh-add FILE`")]
    AgentEmpty,
    /// It has several keys; they are listed.
    #[error("the ssh-agent holds several keys, name one by its fingerprint:{0}")]
    Several(String),
    /// It has others.
    #[error("the ssh-agent does not hold {fingerprint}: add it with `ssh-add FILE`. It holds:{}", or_nothing(.held))]
    NotInAgent {
        /// The key that was asked for.
        fingerprint: Fingerprint,
        /// What the agent holds, one a line.
        held: String,
    },
    /// Begins like a fingerprint and is none.
    #[error(transparent)]
    Fingerprint(#[from] NotAFingerprint),
    /// The file cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The public half cannot be used.
    #[error("{}: {error}", path.display())]
    PublicKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with the public key.
        error: KeyError,
    },
    /// `ssh-keygen` does not tell the public half of the key.
    #[error("{}: {error}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: KeygenError,
    },
}

fn or_nothing(held: &str) -> &str {
    if held.is_empty() { " nothing" } else { held }
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The agent did not sign.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// `ssh-keygen` did not sign.
    #[error(transparent)]
    Keygen(#[from] KeygenError),
    /// The `.pub` file beside the private key is another one's.
    #[error(
        "the signature is by another key than the .pub file names: put the right .pub file beside the private key"
    )]
    OtherKey,
    /// What came back is not the signature that was asked for.
    #[error("the signature that was made is of no use: {0}")]
    Unusable(#[from] SignatureError),
}
