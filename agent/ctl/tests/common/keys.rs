//! SSH keys and agents, created with OpenSSH's own tools.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Creates a key pair. Returns the path of the private key.
pub(crate) fn key(directory: &Path, name: &str, passphrase: &str) -> PathBuf {
    let path = directory.join(name);
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-C", name, "-N", passphrase, "-f"])
        .arg(&path));
    path
}

/// Returns whether `ssh-keygen -Y verify` accepts the signature over these words by this key.
pub(crate) fn verifies(directory: &Path, key: &Path, words: &str, signature: &str) -> bool {
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let (signers, signed) = (directory.join("allowed_signers"), directory.join("signature"));
    std::fs::write(&signers, format!("alice namespaces=\"pawl-approval@v1\" {public}")).unwrap();
    std::fs::write(&signed, signature).unwrap();
    let message = directory.join("message");
    std::fs::write(&message, words).unwrap();
    Command::new("ssh-keygen")
        .args(["-Y", "verify", "-n", "pawl-approval@v1", "-I", "alice", "-f"])
        .arg(&signers)
        .arg("-s")
        .arg(&signed)
        .stdin(std::fs::File::open(&message).unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// An ssh-agent process for one test.
pub(crate) struct Agent {
    process: Child,
    pub(crate) socket: PathBuf,
}

impl Agent {
    pub(crate) fn with(directory: &Path, key: &Path) -> Self {
        let socket = directory.join("agent");
        let process =
            Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !socket.exists() {
            assert!(Instant::now() < deadline, "the agent does not start");
            thread::sleep(Duration::from_millis(10));
        }
        run(Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket));
        Self { process, socket }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}
