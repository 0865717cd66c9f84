use pawl_approval::Approver;
use pawl_proto::Digest;
use pawl_proto::message::{GrantedApproval, ShortText, SshSignature};

/// An approval of a session whose signature was verified.
#[derive(Clone, Debug)]
pub struct SessionApproval {
    /// Who approved, with which key.
    pub approver: Approver,
    /// When, Unix seconds.
    pub given_at: u64,
    /// The armored SSHSIG over the statement's digest.
    pub signature: SshSignature,
    /// Given on another device than the one that asks.
    pub elsewhere: bool,
    /// SHA-256 of the confirmation that is still to be typed at the device; none once the approval counts.
    pub confirmation: Option<Digest>,
}

impl SessionApproval {
    /// Returns the approval as the device is told of it, if it counts.
    #[must_use]
    pub fn granted(&self) -> Option<GrantedApproval> {
        if self.confirmation.is_some() {
            return None;
        }
        Some(GrantedApproval {
            principal: ShortText::lossy(self.approver.principal.as_str()),
            key: ShortText::lossy(&self.approver.key.to_string()),
            time: self.given_at,
            signature: self.signature.clone(),
        })
    }
}
