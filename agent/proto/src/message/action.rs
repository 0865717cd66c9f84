//! Protected actions: a workload requests one, the control plane authorizes it, and the TPM signs once.

use serde::{Deserialize, Serialize};

use super::session::{GrantedApproval, StatementBytes, Waiting};
use crate::bounded::{Blob, SignatureBytes, Text};
use crate::codec::Version;
use crate::id::SessionId;
use crate::limits;

/// Control plane: the approval session of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionOffer {
    /// The message version.
    pub version: Version,
    /// The session.
    pub session: SessionId,
    /// A secret that the device sends with each further step.
    pub secret: Blob<64>,
    /// Whether the action is approved.
    pub state: ActionState,
}

/// Whether an action is approved: the answer to each step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionState {
    /// Somebody has yet to approve.
    Waiting(Waiting),
    /// The control plane will authorize it, once.
    Approved(ActionApproved),
}

/// An approved action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionApproved {
    /// The message version.
    pub version: Version,
    /// What was approved.
    pub statement: StatementBytes,
    /// The approvals; none if the operator's policy requires no approver.
    pub approvals: Vec<GrantedApproval>,
}

/// Device: requests the authorization for one signature. Its TPM policy session is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// The message version.
    pub version: Version,
    /// The secret of the offer.
    pub secret: Blob<64>,
    /// `nonceTPM` of the policy session.
    pub nonce_tpm: Blob<64>,
}

/// Control plane: the input of `TPM2_PolicySigned` (TPM 2.0 Library, Part 3, section 23.3), and what the TPM may sign
/// with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Authorization {
    /// The message version.
    pub version: Version,
    /// The JWS signing input (RFC 7515, section 5.1) of the assurance.
    pub signing_input: Text<{ limits::ASSURANCE }>,
    /// The authorization ends this many seconds after the start of the policy session.
    pub expiration: i32,
    /// The authorization key's signature over nonceTPM, expiration, cpHash and policyRef.
    pub signature: SignatureBytes,
}
