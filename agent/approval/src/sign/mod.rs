//! Making signatures, for the commands that people run: by an ssh-agent (a forwarded one too), or by `ssh-keygen` with
//! a key in a file. Blocking.
//!
//! This process never holds a private key or a passphrase.

mod agent;
mod error;
mod find;
mod keygen;

use std::fmt;
use std::path::Path;

use self::agent::Agent;
pub use self::agent::AgentError;
pub use self::error::{FindError, SignError};
use self::keygen::KeyFile;
pub use self::keygen::KeygenError;
use crate::key::{Fingerprint, PublicKey};
use crate::sshsig::{Signature, Touch, make};

/// A key that can sign, wherever it is.
pub struct Signer {
    identity: Identity,
    holder: Holder,
}

impl Signer {
    /// Finds the key that `spec` names:
    /// - `agent`: the only key that the agent holds;
    /// - `SHA256:…`: the agent's key with this fingerprint;
    /// - the path of a `.pub` file: the agent must hold its private half;
    /// - the path of a private key: `ssh-keygen` signs with it, through the agent if that holds it. The public half is
    ///   read from the file with `.pub` behind its name; where there is none, `ssh-keygen` tells it.
    ///
    /// `agent` is the path in `$SSH_AUTH_SOCK`, if that is set.
    ///
    /// # Errors
    /// [`FindError`] says what the person can do.
    pub fn find(spec: &str, agent: Option<&Path>) -> Result<Self, FindError> {
        find::find(spec, agent)
    }

    /// Signs the message for the namespace. An agent has two minutes, for a touch or for what it asks of its user;
    /// `ssh-keygen` asks for a passphrase on the terminal and waits for as long as the person does.
    ///
    /// The signature has been verified when it is returned, and is one by this key: an agent is not believed.
    ///
    /// # Errors
    /// [`SignError`] says what the person can do.
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

    /// Ends an `ssh-keygen` that is signing in another thread, for a person who gave up.
    pub fn stop(&self) {
        if let Holder::File(file) = &self.holder {
            file.stop();
        }
    }

    /// The key's name for people.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.identity.key.fingerprint()
    }

    /// The kind of key.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.identity.key.algorithm()
    }

    /// What its owner calls it; may be empty. Has no control characters.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.identity.comment
    }

    /// Whether somebody must touch it to sign.
    #[must_use]
    pub fn is_security_key(&self) -> bool {
        self.identity.key.is_security_key()
    }
}

/// Without the key.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.identity)
    }
}

/// Where the private half is.
enum Holder {
    Agent(Agent),
    File(KeyFile),
}

/// A key as people tell it from others.
#[derive(Clone, Debug)]
struct Identity {
    key: PublicKey,
    comment: String,
}

impl Identity {
    /// `comment` may come from anybody.
    fn new(key: PublicKey, comment: &[u8]) -> Self {
        const MAX_CHARACTERS: usize = 128;

        let comment = String::from_utf8_lossy(comment);
        let comment = comment.chars().map(|c| if c.is_control() { '?' } else { c }).take(MAX_CHARACTERS);
        Self { key, comment: comment.collect() }
    }
}

/// As `ssh-add -l` lists keys.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.key.fingerprint(), self.comment, self.key.algorithm())
    }
}
