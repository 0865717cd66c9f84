use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::agent::Agent;
use super::error::FindError;
use super::keygen::KeyFile;
use super::{Holder, Identity, Signer};
use crate::key::Fingerprint;

/// Public keys are a few KiB at most; what is cut here is none.
const PUBLIC_MAX_LEN: u64 = 64 * 1024;

/// See [`Signer::find`].
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

/// The key in the agent, where there is no choice.
fn only_key(agent: Agent) -> Result<Signer, FindError> {
    let identities = agent.identities()?;
    match identities.as_slice() {
        [] => Err(FindError::AgentEmpty),
        [only] => Ok(Signer { identity: only.clone(), holder: Holder::Agent(agent) }),
        several => Err(FindError::Several(lines(several))),
    }
}

/// The key in the agent with this fingerprint.
fn listed(agent: Agent, fingerprint: Fingerprint) -> Result<Signer, FindError> {
    let identities = agent.identities()?;
    let found = identities.iter().find(|identity| identity.key.fingerprint() == fingerprint);
    match found.cloned() {
        Some(identity) => Ok(Signer { identity, holder: Holder::Agent(agent) }),
        None => Err(FindError::NotInAgent { fingerprint, held: lines(&identities) }),
    }
}

/// The key in a file, with which `ssh-keygen` signs. Its public half stands beside it, or `ssh-keygen` tells it.
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

/// Reads `ALGORITHM BASE64 COMMENT`.
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
