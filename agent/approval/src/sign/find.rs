use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::agent::{Agent, AgentError};
use super::keygen::{KeyFile, KeygenError};
use super::{Holder, Identity, Signer};
use crate::key::{Fingerprint, KeyError, NotAFingerprint};
use crate::sshsig::SignatureError;

/// The size limit of a public key file, in bytes. Real ones have a few KiB.
const PUBLIC_MAX_LEN: u64 = 64 * 1024;

/// Implements [`Signer::find`].
pub(super) fn find(spec: &str, agent: Option<&Path>) -> Result<Signer, FindError> {
    let through_agent = || agent.map(Agent::at).ok_or(FindError::NoAgent);
    if spec == "agent" {
        return only_key(through_agent()?);
    }
    if spec.starts_with("SHA256:") {
        return listed(through_agent()?, spec.parse()?);
    }
    let path = Path::new(spec);
    if path.extension().is_some_and(|extension| extension == "pub") {
        let text = read(path).map_err(|error| FindError::Read { path: path.to_owned(), error })?;
        let fingerprint = identity(path, &text)?.key.fingerprint();
        return listed(through_agent()?, fingerprint);
    }
    in_file(path, agent)
}

/// Returns the only key in the agent.
fn only_key(agent: Agent) -> Result<Signer, FindError> {
    let identities = agent.identities()?;
    match identities.as_slice() {
        [] => Err(FindError::AgentEmpty),
        [only] => Ok(Signer { identity: only.clone(), holder: Holder::Agent(agent) }),
        several => Err(FindError::Several(lines(several))),
    }
}

/// Returns the key in the agent with this fingerprint.
fn listed(agent: Agent, fingerprint: Fingerprint) -> Result<Signer, FindError> {
    let identities = agent.identities()?;
    let found = identities.iter().find(|identity| identity.key.fingerprint() == fingerprint);
    match found.cloned() {
        Some(identity) => Ok(Signer { identity, holder: Holder::Agent(agent) }),
        None => Err(FindError::NotInAgent { fingerprint, held: lines(&identities) }),
    }
}

/// Returns the key in a file, with which `ssh-keygen` signs. Reads the public key from the `.pub` file, or from
/// `ssh-keygen` if there is none.
fn in_file(path: &Path, agent: Option<&Path>) -> Result<Signer, FindError> {
    fs::metadata(path).map_err(|error| FindError::Read { path: path.to_owned(), error })?;
    let file = KeyFile::new(path, agent);
    let beside = beside(path);
    let identity = match read(&beside) {
        Ok(text) => identity(&beside, &text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text =
                file.public_half().map_err(|error| FindError::KeyFile { path: path.to_owned(), error })?;
            identity(path, &text)?
        }
        Err(error) => return Err(FindError::Read { path: beside, error }),
    };
    Ok(Signer { identity, holder: Holder::File(file) })
}

fn beside(path: &Path) -> PathBuf {
    let mut beside = OsString::from(path);
    beside.push(".pub");
    beside.into()
}

/// Parses `ALGORITHM BASE64 COMMENT`.
fn identity(path: &Path, text: &str) -> Result<Identity, FindError> {
    let key = text.parse().map_err(|error| FindError::PublicKey { path: path.to_owned(), error });
    let comment = text.trim().splitn(3, ' ').nth(2).unwrap_or_default();
    Ok(Identity::new(key?, comment.as_bytes()))
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(PUBLIC_MAX_LEN).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn lines(identities: &[Identity]) -> String {
    identities.iter().map(|identity| format!("\n  {identity}")).collect()
}

/// Why no key was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// `spec` names an agent, and `$SSH_AUTH_SOCK` is not set.
    #[error(
        "there is no ssh-agent (SSH_AUTH_SOCK is not set): log in with `ssh -A`, start one with \
         `eval \"$(ssh-agent)\"`, or name a private key's file"
    )]
    NoAgent,
    /// The agent did not answer.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The agent has no key that can approve.
    #[error("the ssh-agent holds no key that can approve: add one with `ssh-add FILE`")]
    AgentEmpty,
    /// The agent has several keys, listed here.
    #[error("the ssh-agent holds several keys, name one by its fingerprint:{0}")]
    Several(String),
    /// The agent does not have the key.
    #[error("the ssh-agent does not hold {fingerprint}: add it with `ssh-add FILE`. It holds:{}", or_nothing(.held))]
    NotInAgent {
        /// The requested key.
        fingerprint: Fingerprint,
        /// The keys in the agent, one per line.
        held: String,
    },
    /// `spec` begins like a fingerprint, but is malformed.
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
    /// The public key is malformed, or cannot approve.
    #[error("{}: {error}", path.display())]
    PublicKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with the public key.
        error: KeyError,
    },
    /// `ssh-keygen` did not print the public key.
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

/// Why no signature was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The agent did not sign.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// `ssh-keygen` did not sign.
    #[error(transparent)]
    Keygen(#[from] KeygenError),
    /// The `.pub` file next to the private key belongs to another key.
    #[error(
        "the signature is by another key than the .pub file names: put the right .pub file beside the private key"
    )]
    OtherKey,
    /// The result is not a valid signature over the message.
    #[error("the signature that was made is of no use: {0}")]
    Unusable(#[from] SignatureError),
}
