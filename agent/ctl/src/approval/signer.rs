//! The SSH key that approves here.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use pawl_approval::NAMESPACE;
use pawl_approval::sign::Signer;
use tokio::sync::oneshot;

use crate::exit::{Exit, Failure};
use crate::output::plain;

/// A key that was found. It may stand in an agent or need a finger, so each use has a thread of its own, which
/// nobody waits for once the command ends.
pub(crate) struct Key {
    signer: Arc<Signer>,
}

impl Key {
    /// Finds the key that `--sign-with` names.
    ///
    /// # Errors
    /// When there is none; the reason says what to do.
    pub(crate) async fn find(name: String) -> Result<Self, Failure> {
        let agent = std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from);
        let found = on_thread(move || Signer::find(&name, agent.as_deref()))?;
        match found.await.map_err(Failure::internal)? {
            Ok(signer) => Ok(Self { signer: Arc::new(signer) }),
            Err(error) => Err(Failure::new(
                Exit::Failed,
                "signing-key",
                error,
                "use another key with --sign-with, or omit the option and have somebody approve elsewhere",
            )),
        }
    }

    /// Signs a statement's digest; armored. `ssh-keygen` may ask for a passphrase on the terminal, and ends with the
    /// returned future.
    ///
    /// # Errors
    /// When the key's holder does not sign.
    pub(crate) async fn sign(&self, message: String) -> Result<String, Failure> {
        let _stop = Stop(&self.signer);
        let signer = Arc::clone(&self.signer);
        let signed = on_thread(move || signer.sign(NAMESPACE, message.as_bytes()))?;
        signed.await.map_err(Failure::internal)?.map_err(|error| {
            Failure::new(
                Exit::Failed,
                "not-signed",
                error,
                "the session stays open: continue with --attach, or approve elsewhere",
            )
        })
    }

    /// Which key it is, for people.
    pub(crate) fn describe(&self) -> String {
        let comment = match self.signer.comment() {
            "" => String::new(),
            comment => format!(", {comment}"),
        };
        plain(&format!("{} ({}{comment})", self.signer.fingerprint(), self.signer.algorithm()))
    }

    /// Somebody must touch it.
    pub(crate) fn wants_touch(&self) -> bool {
        self.signer.is_security_key()
    }
}

/// Ends `ssh-keygen` when nobody waits for its signature any more; otherwise the terminal would go on hiding what is
/// typed.
struct Stop<'a>(&'a Signer);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Does what may block, past the runtime, whose end would wait for it.
fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>, Failure> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("signer".to_owned())
        // Nobody may wait for the result any more.
        .spawn(move || drop(sender.send(work())))
        .map_err(Failure::internal)?;
    Ok(receiver)
}
