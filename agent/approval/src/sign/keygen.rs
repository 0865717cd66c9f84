//! Signs with a key in a file by running `ssh-keygen`: this process never reads a private key or a passphrase.
//!
//! `ssh-keygen` asks for a passphrase or a PIN on the terminal, and uses the ssh-agent if that holds the key.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use rustix::process::{Pid, Signal, kill_process};

/// The size limit of its output, in bytes: a signature by RSA with 8192 bits has about 3 KiB.
const OUTPUT_MAX: u64 = 16 * 1024;
/// How much of its error output to show, in characters.
const SAID_MAX: usize = 200;
/// How long to wait for its end once it was told to end.
const RESTORES_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A key in a file.
pub(super) struct KeyFile {
    path: PathBuf,
    /// The socket of the agent, which is used if it holds the key.
    agent: Option<PathBuf>,
    /// The `ssh-keygen` that is running.
    running: Mutex<Option<Pid>>,
}

impl KeyFile {
    pub(super) fn new(path: &Path, agent: Option<&Path>) -> Self {
        Self { path: path.to_owned(), agent: agent.map(Path::to_owned), running: Mutex::new(None) }
    }

    /// Returns the public half, as a `.pub` file has it. Asks for the passphrase of an encrypted key.
    pub(super) fn public_half(&self) -> Result<String, KeygenError> {
        self.run(&["-y"], b"")
    }

    /// Signs the message for the namespace; armored.
    pub(super) fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, KeygenError> {
        self.run(&["-q", "-Y", "sign", "-n", namespace], message)
    }

    /// Ends `ssh-keygen` if it is running, and waits until it has restored the terminal's echo: if the caller ended first, the
    /// terminal could be gone by then.
    pub(super) fn stop(&self) {
        let running = || self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = *running() {
            // Fails only if the process has already ended.
            let _ = kill_process(process, Signal::TERM);
        }
        let deadline = Instant::now() + RESTORES_WITHIN;
        while running().is_some() && Instant::now() < deadline {
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Result<String, KeygenError> {
        let mut command = Command::new("ssh-keygen");
        command.args(arguments).arg("-f").arg(&self.path).env_remove("SSH_AUTH_SOCK");
        if let Some(agent) = &self.agent {
            command.env("SSH_AUTH_SOCK", agent);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => KeygenError::Missing,
            _ => KeygenError::Run(error),
        })?;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) =
            i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let output = talk(&mut child, input);
        // Do not signal the process after waiting for it: another process may have its id.
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = None;
        let status = child.wait().map_err(KeygenError::Run)?;
        drop(running);
        let (output, said) = output.map_err(KeygenError::Run)?;
        if status.success() {
            return Ok(output);
        }
        let said = in_one_line(&said);
        // `ssh-keygen` then read the message as the passphrase.
        let is_alone = File::open("/dev/tty").is_err();
        Err(if is_alone { KeygenError::NoTerminal(said) } else { KeygenError::Failed(said) })
    }
}

/// Writes the input of the process; returns its output and its error output.
fn talk(child: &mut Child, input: &[u8]) -> io::Result<(String, String)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let errors = thread::spawn(move || stderr.map_or(Ok(String::new()), read));
    if let Some(mut stdin) = stdin {
        // A process that refuses its arguments reads no input. Its exit status reports that.
        let _ = stdin.write_all(input);
    }
    let output = stdout.map_or(Ok(String::new()), read);
    let said = errors.join().unwrap_or_else(|_| Ok(String::new()))?;
    Ok((output?, said))
}

fn read(stream: impl io::Read) -> io::Result<String> {
    let mut text = Vec::new();
    stream.take(OUTPUT_MAX).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn in_one_line(said: &str) -> String {
    let words: Vec<_> = said.split_whitespace().collect();
    words.join(" ").chars().map(|c| if c.is_control() { '?' } else { c }).take(SAID_MAX).collect()
}

/// Why `ssh-keygen` failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeygenError {
    /// It is not installed.
    #[error(
        "ssh-keygen signs with keys in files and is not installed: install the package openssh-client, or sign through \
         an ssh-agent"
    )]
    Missing,
    /// It could not be started.
    #[error("ssh-keygen cannot be run: {0}")]
    Run(io::Error),
    /// It failed, with this error output.
    #[error("ssh-keygen failed: {0}")]
    Failed(String),
    /// It failed without a terminal on which to ask for a passphrase, with this error output.
    #[error(
        "ssh-keygen failed: {0}; it had no terminal to ask at: add a key that has a passphrase to an ssh-agent first"
    )]
    NoTerminal(String),
}
