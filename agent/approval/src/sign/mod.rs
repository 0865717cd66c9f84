//! Making signatures, for the commands that people run: with a key in an ssh-agent (a forwarded one too)
//! or in a file. Blocking.

mod agent;
mod error;
mod find;
mod key_file;
mod software;

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use self::agent::Agent;
pub use self::agent::AgentError;
pub use self::error::{FindError, SignError};
pub use self::key_file::KeyFileError;
use self::software::SoftwareKey;
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
    /// - the path of a private key: used through the agent if that holds it, else loaded. ed25519 and
    ///   ecdsa on P-256 and P-384 can be loaded; `passphrase` is asked, once, if the file is encrypted, and
    ///   says `None` when the person gave up.
    ///
    /// `agent` is the path in `$SSH_AUTH_SOCK`, if that is set.
    ///
    /// # Errors
    /// [`FindError`] says what the person can do.
    pub fn find(
        spec: &str,
        agent: Option<&Path>,
        passphrase: impl FnOnce(&Path) -> Option<Zeroizing<String>>,
    ) -> Result<Self, FindError> {
        find::find(spec, agent.map(Agent::at), passphrase)
    }

    /// Signs the message for the namespace. May wait two minutes, for a touch or for what the agent asks
    /// of its user.
    ///
    /// The signature has been verified when it is returned: an agent is not believed.
    ///
    /// # Errors
    /// [`SignError`] says what the person can do.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError> {
        let to_be_signed = make::to_be_signed(namespace, message);
        let signature = match &self.holder {
            Holder::Agent(agent) => agent.sign(&self.identity.key, &to_be_signed)?,
            Holder::File(key) => key.sign(&to_be_signed).ok_or(SignError::Failed)?,
        };
        let armored = make::assemble(&self.identity.key, namespace, &signature);
        Signature::parse(&armored)?.verify(namespace, message, Touch::Require)?;
        Ok(armored)
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
    File(Box<SoftwareKey>),
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
