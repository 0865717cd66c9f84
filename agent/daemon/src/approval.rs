//! Checks approvals on the device.
//!
//! The device knows no approver and no approver's key: the control plane decides which keys may approve. The device checks that
//! every approval was signed over the statement of its own request.

use pawl_approval::{NAMESPACE, Signature, SignatureError, Touch};
use pawl_local_api::{ApprovalRequest, Asked, WaitingStatus};
use pawl_proto::Blob;
use pawl_proto::bounded::TooLong;
use pawl_proto::message::{
    GivenApproval, GrantedApproval, Statement, StatementBytes, StatementContext, Waiting,
};

/// Checks that each approval is a signature over this statement by the key that the approval names.
///
/// # Errors
/// [`ApprovalError`] for the first invalid approval.
pub(crate) fn check_signatures(
    statement: &StatementBytes,
    approvals: &[GrantedApproval],
) -> Result<(), ApprovalError> {
    let message = statement.to_be_signed();
    for approval in approvals {
        let armored =
            std::str::from_utf8(approval.signature.as_bytes()).map_err(|_| ApprovalError::Encoding)?;
        let key = Signature::parse(armored)?.verify(NAMESPACE, message.as_bytes(), Touch::Require)?;
        if key.fingerprint().to_string() != approval.key.as_str() {
            return Err(ApprovalError::Key);
        }
    }
    Ok(())
}

/// Returns an approval that was given at this device, for the control plane. Checks only its form: the control plane decides
/// whether the approval is valid, and shows the operator the reason if it is not.
///
/// # Errors
/// [`ApprovalError`] if it is malformed.
pub(crate) fn given(request: &ApprovalRequest) -> Result<GivenApproval, ApprovalError> {
    let statement = hex::decode(&request.statement).map_err(|_| ApprovalError::Statement)?;
    Ok(GivenApproval {
        statement: StatementBytes(Blob::new(statement)?),
        signature: Blob::new(request.signature.clone().into_bytes())?,
    })
}

/// Returns the request in the form that `pawlctl` shows.
pub(crate) fn asked(bytes: &StatementBytes, statement: &Statement, known: &StatementContext) -> Asked {
    Asked {
        statement: hex::encode(bytes.0.as_bytes()),
        digest: bytes.digest().to_string(),
        action: statement.action.to_string(),
        origin: statement.origin.to_string(),
        reason: statement.reason.to_string(),
        scopes: statement.scopes.clone(),
        audiences: statement.audiences.clone(),
        granted: statement.granted.clone(),
        replaces: statement.replaces,
        endorsement: statement.endorsement.as_ref().map(ToString::to_string),
        known: known.clone(),
    }
}

/// Returns what an approver needs. `now` is Unix time in seconds; `refused` is the reason why the last approval or confirmation
/// was refused.
pub(crate) fn waiting_status(waiting: &Waiting, now: u64, refused: Option<String>) -> WaitingStatus {
    WaitingStatus {
        user_code: waiting.approval.user_code.to_string(),
        url: waiting.approval.url.to_string(),
        needed: waiting.needed,
        approved: waiting.approved.iter().map(ToString::to_string).collect(),
        unconfirmed: waiting.unconfirmed,
        tries_left: waiting.tries_left,
        expires: now.saturating_add(u64::from(waiting.expires_in)),
        refused,
    }
}

/// Why an approval is not valid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApprovalError {
    #[error("the statement is not hexadecimal: send it unchanged from the session")]
    Statement,
    #[error("the approval is too long: {0}")]
    TooLong(#[from] TooLong),
    #[error("a signature is not text")]
    Encoding,
    #[error("an approval is not over this request: {0}")]
    Signature(#[from] SignatureError),
    #[error("an approval was signed by another key than it names")]
    Key,
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use pawl_approval::{Fingerprint, PublicKey};
    use pawl_proto::Text;

    use super::*;

    /// A person with a new key, as OpenSSH makes and uses it.
    struct Person {
        folder: tempfile::TempDir,
    }

    impl Person {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.path().join("key"));
            assert!(keygen.status().unwrap().success());
            Self { folder }
        }

        fn fingerprint(&self) -> Fingerprint {
            let public = fs::read_to_string(self.folder.path().join("key.pub")).unwrap();
            public.parse::<PublicKey>().unwrap().fingerprint()
        }

        fn approve(&self, namespace: &str, statement: &StatementBytes) -> GrantedApproval {
            let message = self.folder.path().join("message");
            fs::write(&message, statement.to_be_signed()).unwrap();
            let mut sign = Command::new("ssh-keygen");
            sign.args(["-Y", "sign", "-q", "-n", namespace, "-f"]).arg(self.folder.path().join("key"));
            assert!(sign.arg(&message).status().unwrap().success());
            let signature = message.with_extension("sig");
            let approval = GrantedApproval {
                principal: Text::lossy("alice"),
                key: Text::new(self.fingerprint().to_string()).unwrap(),
                time: 0,
                signature: Blob::new(fs::read(&signature).unwrap()).unwrap(),
            };
            fs::remove_file(signature).unwrap();
            approval
        }
    }

    fn statement(of: &str) -> StatementBytes {
        StatementBytes(Blob::new(of.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn an_approval_is_valid_only_for_the_statement_that_was_signed() {
        let (alice, bob, statement_asked) = (Person::new(), Person::new(), statement("this device"));
        let check = |approvals: &[GrantedApproval]| check_signatures(&statement_asked, approvals);
        let valid = || alice.approve(NAMESPACE, &statement_asked);
        check(&[]).unwrap();
        check(&[valid(), bob.approve(NAMESPACE, &statement_asked)]).unwrap();

        let elsewhere = bob.approve(NAMESPACE, &statement("another device"));
        assert!(matches!(check(&[valid(), elsewhere]), Err(ApprovalError::Signature(_))));
        let for_git = alice.approve("git", &statement_asked);
        assert!(matches!(check(&[for_git]), Err(ApprovalError::Signature(_))));
        let key = Text::new(bob.fingerprint().to_string()).unwrap();
        assert!(matches!(check(&[GrantedApproval { key, ..valid() }]), Err(ApprovalError::Key)));
        let signature = Blob::new(vec![0xff; 10]).unwrap();
        assert!(matches!(check(&[GrantedApproval { signature, ..valid() }]), Err(ApprovalError::Encoding)));
    }

    #[test]
    fn a_malformed_or_oversize_approval_is_refused() {
        let request = |statement: &str, signature: String| ApprovalRequest {
            statement: statement.to_owned(),
            signature,
        };
        let approval = given(&request("0aff", "armored".to_owned())).unwrap();
        assert_eq!(approval.statement.0.as_bytes(), [0x0a, 0xff]);
        assert_eq!(approval.signature.as_bytes(), b"armored");
        assert!(matches!(given(&request("0af", String::new())), Err(ApprovalError::Statement)));
        let long = "0".repeat(2 * pawl_proto::limits::STATEMENT + 2);
        assert!(matches!(given(&request(&long, String::new())), Err(ApprovalError::TooLong(_))));
        let long = "x".repeat(pawl_proto::limits::SSH_SIGNATURE + 1);
        assert!(matches!(given(&request("0a", long)), Err(ApprovalError::TooLong(_))));
    }
}
