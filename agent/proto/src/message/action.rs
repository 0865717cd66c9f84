//! Protected actions: a workload names one, the control plane lets it, and the TPM signs once.

use serde::{Deserialize, Serialize};

use super::{GrantedApproval, StatementBytes, Waiting};
use crate::bounded::{Blob, SignatureBytes, Text};
use crate::codec::Version;
use crate::id::SessionId;
use crate::limits;

/// Control plane: the session in which an action may be let.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionOffer {
    /// The message version.
    pub version: Version,
    /// The session.
    pub session: SessionId,
    /// What the device shows with each further step.
    pub secret: Blob<64>,
    /// How it stands.
    pub state: ActionState,
}

/// How an action stands: the answer to each step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionState {
    /// Somebody has yet to approve.
    Waiting(Waiting),
    /// The control plane will authorize it, once.
    Approved(ActionApproved),
}

/// An action that is let.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionApproved {
    /// The message version.
    pub version: Version,
    /// What was approved.
    pub statement: StatementBytes,
    /// The approvals; none where the operator's policy wants nobody's.
    pub approvals: Vec<GrantedApproval>,
}

/// Device: a TPM session stands open for the one signature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// The message version.
    pub version: Version,
    /// The secret of the offer.
    pub secret: Blob<64>,
    /// `nonceTPM` of the policy session.
    pub nonce_tpm: Blob<64>,
}

/// Control plane: what `TPM2_PolicySigned` wants (TPM 2.0 Library, Part 3, section 23.3), and what
/// the TPM may sign with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Authorization {
    /// The message version.
    pub version: Version,
    /// The JWS signing input (RFC 7515, section 5.1) of the assurance.
    pub signing_input: Text<{ limits::ASSURANCE }>,
    /// The authorization ends so many seconds after the session began.
    pub expiration: i32,
    /// By the authorization key, over nonceTPM, expiration, cpHash and policyRef.
    pub signature: SignatureBytes,
}
