//! Approval sessions, for pairings and for protected actions.

use pawl_proto::message::{Access, Audience, Scope, ShortText, StatementContext};
use pawl_proto::{DeviceId, SessionId, open_enum};
use serde::{Deserialize, Serialize};

use crate::Problem;

/// The body of `POST /v1/pair`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairRequest {
    /// Why.
    #[serde(default)]
    pub reason: ShortText,
    /// The scopes to request; those of the configuration where this is empty.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// The device that this one replaces.
    #[serde(default)]
    pub replaces: Option<DeviceId>,
    /// Whether to open a session although a pairing is live; the approval ends that pairing.
    #[serde(default)]
    pub again: bool,
    /// How the caller reached the device, as far as they know; the daemon adds who they are.
    #[serde(default)]
    pub origin: ShortText,
}

/// The answer to `GET /v1/session`: how a pairing session stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Its id; none until the control plane has given one.
    pub id: Option<SessionId>,
    /// Its stage.
    pub stage: SessionStage,
    /// What it asks the approvers for, once the control plane has sent the statement.
    pub asked: Option<Asked>,
    /// What an approver needs, while the session waits for approval.
    pub waiting: Option<WaitingStatus>,
    /// Why it failed.
    pub problem: Option<Problem>,
}

open_enum! {
    /// The stage of a pairing session.
    pub enum SessionStage {
        /// The daemon asks the control plane, and the TPM proves itself. Nothing has changed yet.
        Opening = "opening",
        /// The session waits for approval. Nothing has changed yet.
        Waiting = "waiting",
        /// Approved: the daemon ends the old pairing.
        Ending = "ending",
        /// The old pairing has ended, and the daemon makes the new one.
        Pairing = "pairing",
        /// The device is paired.
        Done = "done",
        /// The session failed.
        Failed = "failed",
    }
}

/// What an approval session asks for, for people and for an approver's key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The encoded statement, hexadecimal. An approver signs its SHA-256.
    pub statement: String,
    /// That digest.
    pub digest: String,
    /// `pair`, `re-pair` or an action's name.
    pub action: String,
    /// Who requested it, and from where.
    pub origin: String,
    /// Why.
    pub reason: String,
    /// The scopes that the device requests.
    pub scopes: Vec<Scope>,
    /// The audiences that it requests, in addition to the control plane's own URL.
    #[serde(default)]
    pub audiences: Vec<Audience>,
    /// What the operator granted when the session was opened; none for an action.
    #[serde(default)]
    pub granted: Option<Access>,
    /// The device that this one replaces.
    pub replaces: Option<DeviceId>,
    /// How the control plane checked the endorsement key; none for an action.
    pub endorsement: Option<String>,
    /// The pairings that would end, as far as the control plane knows.
    pub known: StatementContext,
}

/// What an approver needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaitingStatus {
    /// The user code, for an approver who is not at the device.
    pub user_code: String,
    /// The verification URI, where they enter it.
    pub url: String,
    /// How many people must approve.
    pub needed: u8,
    /// Who has approved.
    pub approved: Vec<String>,
    /// Approvals given elsewhere whose confirmation code nobody has typed at the device yet.
    pub unconfirmed: u8,
    /// How many more wrong approvals or codes the session accepts before it fails.
    pub tries_left: u8,
    /// When the session expires, Unix seconds.
    pub expires: u64,
    /// Why the last approval or confirmation was rejected.
    pub refused: Option<String>,
}

/// The body of `POST /v1/session/approval` and `POST /v1/actions/{session}/approval`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// The statement that the approver signed, hexadecimal.
    pub statement: String,
    /// The signature, as `ssh-keygen -Y sign -n pawl-approval@v1` writes it.
    pub signature: String,
}

/// The body of `POST /v1/session/confirmation` and `POST /v1/actions/{session}/confirmation`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmationRequest {
    /// The confirmation code that the approver was shown.
    pub code: String,
}

/// The body of `POST /v1/actions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionRequest {
    /// The action's name in the control plane's policy.
    pub action: ShortText,
    /// The target.
    pub resource: ShortText,
    /// SHA-256 of the action's input, 64 hexadecimal digits.
    pub digest: String,
    /// The workload's own session: the assurance is valid in no other.
    pub session: ShortText,
    /// The reason, shown to approvers.
    #[serde(default)]
    pub reason: ShortText,
}

/// How a protected action stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionStatus {
    /// The approval session's id.
    pub id: SessionId,
    /// What it asks the approvers for.
    pub asked: Asked,
    /// What an approver needs, while the session waits for approval.
    pub waiting: Option<WaitingStatus>,
    /// The assurance, a compact JWS (RFC 7515). The daemon gives it out once, to the caller who requested the action.
    pub assurance: Option<String>,
    /// Why the action gets no assurance.
    pub problem: Option<Problem>,
}
