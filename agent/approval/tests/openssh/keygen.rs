//! `ssh-keygen`, with its files in a directory that goes away.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use pawl_approval::PublicKey;
use tempfile::TempDir;

/// Every kind of key that needs no hardware, with the size that `ssh-keygen -b` takes.
pub(crate) const KINDS: [(&str, &str); 7] = [
    ("ed25519", "256"),
    ("ecdsa", "256"),
    ("ecdsa", "384"),
    ("ecdsa", "521"),
    ("rsa", "2048"),
    ("rsa", "3072"),
    ("rsa", "4096"),
];

pub(crate) struct Keygen(TempDir);

impl Keygen {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A new key without a passphrase.
    pub(crate) fn key(&self, kind: &str, bits: &str) -> PathBuf {
        self.key_with(kind, bits, &["-N", ""])
    }

    pub(crate) fn key_with(&self, kind: &str, bits: &str, options: &[&str]) -> PathBuf {
        let count = fs::read_dir(self.0.path()).unwrap().count();
        let path = self.path(&format!("{kind}-{bits}-{count}"));
        let file = path.to_str().unwrap();
        let comment = format!("{kind} of {bits} bits");
        let arguments = ["-q", "-t", kind, "-b", bits, "-C", &comment, "-f", file];
        run(ssh_keygen(&arguments).args(options), b"");
        path
    }

    /// `ssh-keygen -Y sign`.
    pub(crate) fn sign(&self, key: &Path, namespace: &str, message: &[u8]) -> String {
        self.sign_with(key, namespace, message, &[])
    }

    pub(crate) fn sign_with(&self, key: &Path, namespace: &str, message: &[u8], options: &[&str]) -> String {
        let arguments = ["-q", "-Y", "sign", "-f", key.to_str().unwrap(), "-n", namespace];
        String::from_utf8(run(ssh_keygen(&arguments).args(options), message).stdout).unwrap()
    }

    /// Whether `ssh-keygen -Y verify` accepts the signature.
    pub(crate) fn verifies(&self, by: &Claim<'_>, signature: &str, message: &[u8]) -> bool {
        let (signers, signed) = (self.path("allowed_signers"), self.path("signature"));
        fs::write(&signers, by.allowed_signers).unwrap();
        fs::write(&signed, signature).unwrap();
        let (signers, signed) = (signers.to_str().unwrap(), signed.to_str().unwrap());
        let mut command = ssh_keygen(&[
            "-Y",
            "verify",
            "-f",
            signers,
            "-I",
            by.principal,
            "-n",
            by.namespace,
            "-s",
            signed,
        ]);
        if let Some(time) = by.time {
            command.arg(format!("-Overify-time={time}"));
        }
        output(&mut command, message).status.success()
    }
}

/// The signer, namespace and time that `ssh-keygen -Y verify` is to check.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) allowed_signers: &'a str,
    pub(crate) principal: &'a str,
    pub(crate) namespace: &'a str,
    /// As in the options of an allowed signer; now, if none.
    pub(crate) time: Option<&'a str>,
}

/// The line of the key's `.pub` file.
pub(crate) fn public_line(key: &Path) -> String {
    fs::read_to_string(key.with_extension("pub")).unwrap().trim().to_owned()
}

pub(crate) fn public_key(key: &Path) -> PublicKey {
    public_line(key).parse().unwrap()
}

/// `ssh-keygen` in UTC, with these arguments.
pub(crate) fn ssh_keygen(arguments: &[&str]) -> Command {
    let mut command = Command::new("ssh-keygen");
    command.args(arguments).env("TZ", "UTC").env_remove("SSH_AUTH_SOCK");
    command
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command, stdin: &[u8]) -> Output {
    let output = output(command, stdin);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn output(command: &mut Command, stdin: &[u8]) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // A command that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}
