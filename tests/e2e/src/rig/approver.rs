//! A person with an SSH key that OpenSSH made, and an SSH agent that holds such keys.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{ControlPlane, Directory, Process, process, wait};

/// A person who may approve, or would like to.
pub struct Approver {
    name: String,
    key: PathBuf,
}

impl Approver {
    /// The namespace of approvals.
    pub const NAMESPACE: &str = "pawl-approval@v1";

    /// A person with a new ed25519 key, whom no control plane knows yet.
    ///
    /// # Errors
    /// When ssh-keygen fails.
    pub fn new(directory: &Directory, name: &str) -> Result<Self> {
        Self::with_key(directory, name, "ed25519")
    }

    /// The same with a key of another type, as `ssh-keygen -t` names it.
    ///
    /// # Errors
    /// When ssh-keygen fails.
    pub fn with_key(directory: &Directory, name: &str, key_type: &str) -> Result<Self> {
        let key = directory.create("approvers")?.join(name);
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", key_type, "-N", "", "-C", name, "-f"]).arg(&key);
        process::run(&keygen)?;
        Ok(Self { name: name.to_owned(), key })
    }

    /// What the control plane calls them.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Their private key.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// Lets them approve.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn admit(&self, control_plane: &ControlPlane) -> Result<()> {
        self.admit_with(control_plane, &format!("namespaces=\"{}\"", Self::NAMESPACE))
    }

    /// Lets them approve under these options of `allowed_signers`.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn admit_with(&self, control_plane: &ControlPlane, options: &str) -> Result<()> {
        let public = fs::read_to_string(self.key.with_extension("pub")).context("read a public key")?;
        let mut file = OpenOptions::new().append(true).open(control_plane.allowed_signers())?;
        writeln!(file, "{} {options} {}", self.name, public.trim())?;
        Ok(())
    }

    /// Their signature over `message`, by `ssh-keygen -Y sign`.
    ///
    /// # Errors
    /// When it fails.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<String> {
        let file = tempfile::Builder::new().prefix("message").tempdir()?;
        let (message_file, signature) = (file.path().join("message"), file.path().join("message.sig"));
        fs::write(&message_file, message)?;
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-Y", "sign", "-q", "-n", namespace, "-f"]).arg(&self.key).arg(&message_file);
        process::run(&sign)?;
        fs::read_to_string(&signature).context("read a signature")
    }
}

/// A running agent.
pub struct SshAgent {
    socket: PathBuf,
    _process: Process,
}

impl SshAgent {
    /// By what programs find it.
    pub const VARIABLE: &str = "SSH_AUTH_SOCK";

    /// Starts one that holds a person's key.
    ///
    /// # Errors
    /// When it does not start, or does not take the key.
    pub fn holding(directory: &Directory, approver: &Approver) -> Result<Self> {
        let name = format!("{}-agent", approver.name());
        let socket = directory.path().join(&name);
        let mut agent = Command::new("ssh-agent");
        agent.arg("-D").arg("-a").arg(&socket);
        let mut running = Process::spawn(&name, &agent, &directory.log(&name))?;
        let mut add = Command::new("ssh-add");
        add.arg("-q").arg(approver.key()).env(Self::VARIABLE, &socket);
        wait::until("the SSH agent takes a key", wait::SOON, || {
            running.check_running()?;
            process::run(&add)
        })?;
        Ok(Self { socket, _process: running })
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}
