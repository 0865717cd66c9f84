use serde::{Deserialize, Serialize};

/// One person's approval, with all that it takes to check it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovedBy {
    /// Who, as the operator's list of approvers names them.
    pub principal: String,
    /// The fingerprint of their key, `SHA256:…`.
    pub key: String,
    /// When, Unix seconds.
    pub time: u64,
    /// The armored SSHSIG over the statement's digest; the public key is in it.
    pub signature: String,
}
