use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pawl_proto::message::{GivenApproval, SshSignature, StatementBytes};

/// A person with an SSH key, who signs with ssh-keygen.
pub(crate) struct Approver {
    key: PathBuf,
    name: String,
}

impl Approver {
    /// A person whose key is made in `dir`.
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let key = dir.join(name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(&key)
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        Self { key, name: name.to_owned() }
    }

    /// Their line in a list of approvers.
    pub(crate) fn line(&self, options: &str) -> String {
        let public = std::fs::read_to_string(self.key.with_extension("pub")).unwrap();
        format!("{} {options} {public}", self.name)
    }

    /// Where their private key is.
    pub(crate) fn key(&self) -> &Path {
        &self.key
    }

    pub(crate) fn sign(&self, statement: &StatementBytes) -> GivenApproval {
        self.sign_for(statement, "pawl-approval@v1")
    }

    pub(crate) fn sign_for(&self, statement: &StatementBytes, namespace: &str) -> GivenApproval {
        let message = self.key.with_extension("message");
        let signature = self.key.with_extension("message.sig");
        let _ = std::fs::remove_file(&signature);
        std::fs::write(&message, statement.to_be_signed()).unwrap();
        let signed = Command::new("ssh-keygen")
            .args(["-Y", "sign", "-n", namespace, "-f"])
            .args([&self.key, &message])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(signed.success());
        let signature = SshSignature::new(std::fs::read(&signature).unwrap()).unwrap();
        GivenApproval { statement: statement.clone(), signature }
    }
}
