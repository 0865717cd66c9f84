//! Makes signatures for the commands that people run, with an ssh-agent (also a forwarded one), or with `ssh-keygen` and a
//! key in a file. Blocking.
//!
//! This process never holds a private key or a passphrase.

mod agent;
mod find;
mod keygen;

use std::fmt;
use std::path::Path;

use crate::key::{Fingerprint, PublicKey};
use crate::sshsig::{Signature, Touch, make};
use agent::Agent;
use keygen::KeyFile;

pub use agent::AgentError;
pub use find::{FindError, SignError};
pub use keygen::KeygenError;

/// A key that can sign, in an agent or in a file.
pub struct Signer {
    identity: Identity,
    holder: Holder,
}

impl Signer {
    /// Finds the key that `spec` names:
    /// - `agent`: the only key that the agent holds;
    /// - `SHA256:…`: the agent's key with this fingerprint;
    /// - the path of a `.pub` file: the agent must hold its private half;
    /// - the path of a private key: `ssh-keygen` signs with it, through the agent if that holds it. The public
    ///   key is read from the `.pub` file next to it, or from `ssh-keygen` if there is none.
    ///
    /// `agent` is the path in `$SSH_AUTH_SOCK`, if that is set.
    ///
    /// # Errors
    /// [`FindError`], which says what to do.
    pub fn find(spec: &str, agent: Option<&Path>) -> Result<Self, FindError> {
        find::find(spec, agent)
    }

    /// Signs the message for the namespace. An agent has two minutes, so that its user can touch a key or confirm;
    /// `ssh-keygen` asks for a passphrase on the terminal, without a time limit.
    ///
    /// The returned signature is verified: agents are not trusted.
    ///
    /// # Errors
    /// [`SignError`], which says what to do.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError> {
        let armored = match &self.holder {
            Holder::Agent(agent) => {
                let signature = agent.sign(&self.identity.key, &make::to_be_signed(namespace, message))?;
                make::assemble(&self.identity.key, namespace, &signature)
            }
            Holder::File(file) => file.sign(namespace, message)?,
        };
        let verified = Signature::parse(&armored)?.verify(namespace, message, Touch::Require)?;
        if verified.key() == &self.identity.key { Ok(armored) } else { Err(SignError::OtherKey) }
    }

    /// Ends an `ssh-keygen` that is signing in another thread, because the person gave up.
    pub fn stop(&self) {
        if let Holder::File(file) = &self.holder {
            file.stop();
        }
    }

    /// Returns the fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.identity.key.fingerprint()
    }

    /// Returns the key type.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.identity.key.algorithm()
    }

    /// Returns the comment, without control characters. It may be empty.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.identity.comment
    }

    /// Returns whether signing requires a touch.
    #[must_use]
    pub fn is_security_key(&self) -> bool {
        self.identity.key.is_security_key()
    }
}

/// Omits the key.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.identity)
    }
}

/// Where the private key is.
enum Holder {
    Agent(Agent),
    File(KeyFile),
}

/// A public key with its comment.
#[derive(Clone, Debug)]
struct Identity {
    key: PublicKey,
    comment: String,
}

impl Identity {
    /// `comment` is untrusted.
    fn new(key: PublicKey, comment: &[u8]) -> Self {
        const MAX_CHARACTERS: usize = 128;

        let comment = String::from_utf8_lossy(comment);
        let comment = comment.chars().map(|c| if c.is_control() { '?' } else { c }).take(MAX_CHARACTERS);
        Self { key, comment: comment.collect() }
    }
}

/// Writes the key as `ssh-add -l` does.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.key.fingerprint(), self.comment, self.key.algorithm())
    }
}
