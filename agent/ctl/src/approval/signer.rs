//! The SSH key that approves at this device.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use pawl_approval::NAMESPACE;
use pawl_approval::sign::Signer;
use tokio::sync::oneshot;

use crate::exit::{Exit, Failure};
use crate::output::plain;

/// An SSH key. It may be in an agent or need a touch, so each use runs on a thread of its own. The command does not wait for that
/// thread when it ends.
pub(crate) struct Key {
    signer: Arc<Signer>,
}

impl Key {
    /// Finds the key that `--sign-with` names.
    ///
    /// # Errors
    /// If no such key is available.
    pub(crate) async fn find(name: String) -> Result<Self, Failure> {
        let agent = std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from);
        let found = on_thread(move || Signer::find(&name, agent.as_deref()))?;
        match found.await.map_err(Failure::internal)? {
            Ok(signer) => Ok(Self { signer: Arc::new(signer) }),
            Err(error) => Err(Failure::new(
                Exit::Failed,
                "signing-key",
                error,
                "use another key with --sign-with, or omit the option and ask an approver elsewhere",
            )),
        }
    }

    /// Returns an armored signature over a statement's digest. `ssh-keygen` may ask for a passphrase on the terminal. Dropping the
    /// returned future ends `ssh-keygen`.
    ///
    /// # Errors
    /// If the agent or `ssh-keygen` does not sign.
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

    /// Describes the key for people.
    pub(crate) fn describe(&self) -> String {
        let comment = match self.signer.comment() {
            "" => String::new(),
            comment => format!(", {comment}"),
        };
        plain(&format!("{} ({}{comment})", self.signer.fingerprint(), self.signer.algorithm()))
    }

    /// Returns whether the key must be touched.
    pub(crate) fn wants_touch(&self) -> bool {
        self.signer.is_security_key()
    }
}

/// Ends `ssh-keygen` on drop. Otherwise the terminal's echo would stay off.
struct Stop<'a>(&'a Signer);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Runs blocking work on a plain thread. The runtime would wait for a thread of its own when it ends.
fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>, Failure> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("signer".to_owned())
        // The receiver may have been dropped.
        .spawn(move || drop(sender.send(work())))
        .map_err(Failure::internal)?;
    Ok(receiver)
}
