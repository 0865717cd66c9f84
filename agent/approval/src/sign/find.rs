use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::agent::Agent;
use super::error::FindError;
use super::key_file::{self, KeyFile, KeyFileError};
use super::{Holder, Identity, Signer};
use crate::key::{Fingerprint, PublicKey};

/// Key files are a few KiB at most; what is cut here is none.
const MAX_FILE_LEN: u16 = u16::MAX;

/// See [`Signer::find`].
pub(super) fn find(
    spec: &str,
    agent: Option<Agent>,
    passphrase: impl FnOnce(&Path) -> Option<Zeroizing<String>>,
) -> Result<Signer, FindError> {
    if spec == "agent" {
        return only_key(agent.ok_or(FindError::NoAgent)?);
    }
    if spec.starts_with("SHA256:") {
        return listed(agent.ok_or(FindError::NoAgent)?, spec.parse()?);
    }
    let path = Path::new(spec);
    let text = read(path).map_err(|error| FindError::Read { path: path.to_owned(), error })?;
    if !key_file::is_private(&text) {
        let key: PublicKey = String::from_utf8_lossy(&text)
            .parse()
            .map_err(|error| FindError::PublicKey { path: path.to_owned(), error })?;
        return listed(agent.ok_or(FindError::NoAgent)?, key.fingerprint());
    }
    in_file(path, &text, agent, passphrase)
        .map_err(|error| FindError::KeyFile { path: path.to_owned(), error })
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

/// The key in a file, through the agent if that holds it: then nobody is asked for a passphrase.
fn in_file(
    path: &Path,
    text: &[u8],
    agent: Option<Agent>,
    passphrase: impl FnOnce(&Path) -> Option<Zeroizing<String>>,
) -> Result<Signer, KeyFileError> {
    let file = KeyFile::parse(text)?;
    // An agent that does not answer is as good as none: the file is at hand.
    if let Some(agent) = agent
        && let Ok(signer) = listed(agent, file.key().fingerprint())
    {
        return Ok(signer);
    }
    let (key, comment) = file.load(|| passphrase(path))?;
    Ok(Signer { identity: Identity::new(file.key().clone(), &comment), holder: Holder::File(Box::new(key)) })
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // A vector that grows leaves copies of a key behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE_LEN.into()));
    File::open(path)?.take(MAX_FILE_LEN.into()).read_to_end(&mut text)?;
    Ok(text)
}

fn lines(identities: &[Identity]) -> String {
    identities.iter().map(|identity| format!("\n  {identity}")).collect()
}
