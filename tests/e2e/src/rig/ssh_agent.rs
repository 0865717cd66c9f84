//! An SSH agent: OpenSSH's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Approver, Directory, Process, process, wait};

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
