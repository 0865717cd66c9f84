//! A small client of the ssh-agent protocol (draft-ietf-sshm-ssh-agent): list keys, sign.

use std::io;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Identity;
use crate::key::PublicKey;
use crate::wire::{Reader, put_string};

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// The flag without which an RSA key signs over SHA-1.
const RSA_SHA2_512: u32 = 4;

/// The size limit of an answer, which is OpenSSH's.
const MAX_ANSWER_LEN: u32 = 256 * 1024;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The time limit of a signature: somebody may have to touch a key or to confirm at the agent.
const SIGN_WITHIN: Duration = Duration::from_secs(120);

/// An ssh-agent. Each request uses a new connection.
pub(super) struct Agent(PathBuf);

impl Agent {
    pub(super) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Lists the keys that can approve.
    pub(super) fn identities(&self) -> Result<Vec<Identity>, AgentError> {
        let answer = self.ask(&[REQUEST_IDENTITIES], ANSWER_WITHIN)?;
        let mut reader = Reader::new(&answer);
        match reader.u8() {
            Some(IDENTITIES_ANSWER) => read_identities(reader).ok_or(AgentError::Malformed),
            Some(_) => Err(AgentError::Refused),
            None => Err(AgentError::Malformed),
        }
    }

    /// Signs `data`; returns the signature in the format of the key's algorithm.
    pub(super) fn sign(&self, key: &PublicKey, data: &[u8]) -> Result<Vec<u8>, AgentError> {
        let flags = if key.algorithm() == "ssh-rsa" { RSA_SHA2_512 } else { 0 };
        let mut request = vec![SIGN_REQUEST];
        put_string(&mut request, key.blob());
        put_string(&mut request, data);
        request.extend_from_slice(&flags.to_be_bytes());

        let answer = self.ask(&request, SIGN_WITHIN)?;
        let mut reader = Reader::new(&answer);
        match reader.u8() {
            Some(SIGN_RESPONSE) => {
                let signature = reader.string().ok_or(AgentError::Malformed)?;
                Ok(signature.to_vec())
            }
            Some(_) => Err(AgentError::Refused),
            None => Err(AgentError::Malformed),
        }
    }

    fn ask(&self, request: &[u8], within: Duration) -> Result<Vec<u8>, AgentError> {
        let mut stream = UnixStream::connect(&self.0)
            .map_err(|error| AgentError::Connect { path: self.0.clone(), error })?;
        exchange(&mut stream, request, within).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AgentError::Silent(within.as_secs()),
            io::ErrorKind::InvalidData => AgentError::Malformed,
            _ => AgentError::Broken(error),
        })
    }
}

fn exchange(stream: &mut UnixStream, request: &[u8], within: Duration) -> io::Result<Vec<u8>> {
    stream.set_write_timeout(Some(within))?;
    stream.set_read_timeout(Some(within))?;
    let mut framed = Vec::new();
    put_string(&mut framed, request);
    stream.write_all(&framed)?;

    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let len = u32::from_be_bytes(len);
    if len > MAX_ANSWER_LEN {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // Do not allocate the announced size in advance.
    let mut answer = Vec::new();
    stream.take(u64::from(len)).read_to_end(&mut answer)?;
    Ok(answer)
}

fn read_identities(mut reader: Reader<'_>) -> Option<Vec<Identity>> {
    let count = reader.u32()?;
    let mut identities = Vec::new();
    for _ in 0..count {
        let (blob, comment) = (reader.string()?, reader.string()?);
        // Skip certificates and keys that cannot approve.
        if let Ok(key) = PublicKey::parse_blob(blob) {
            identities.push(Identity::new(key, comment));
        }
    }
    reader.end().map(|()| identities)
}

/// Why the agent did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The socket does not accept connections.
    #[error("the ssh-agent at {} does not answer ({error}): log in anew, or start one", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The connection broke.
    #[error("the ssh-agent broke off: {0}")]
    Broken(io::Error),
    /// It did not answer within this many seconds.
    #[error("the ssh-agent did not answer for {0} seconds: does it wait for a touch or for a confirmation?")]
    Silent(u64),
    /// It refused.
    #[error(
        "the ssh-agent refused: the key may have been removed (`ssh-add -l`), or its use was not confirmed or \
         touched in time"
    )]
    Refused,
    /// Its answer is malformed.
    #[error("what answers at SSH_AUTH_SOCK does not speak the ssh-agent protocol")]
    Malformed,
}
