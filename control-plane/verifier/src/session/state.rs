use pawl_approval::Approver;
use pawl_proto::message::{GrantedApproval, RefusalCode, ShortText, SshSignature, Statement, StatementBytes};
use pawl_proto::{DeviceId, Digest, SessionId};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::binding::Refused;
use crate::refusal::Refusal;

/// The number of failed attempts of each kind that end a session.
pub const TRIES: u8 = 5;
/// Seconds for which an approved session may be used.
pub const USE_WITHIN: u64 = 600;

/// An approval session: one request for an approval, from its opening until it is used up.
#[derive(Clone, Debug)]
pub struct ApprovalSession {
    /// Its id. A pairing that it approves gets an id with the same bytes.
    pub id: SessionId,
    /// Its purpose.
    pub purpose: Purpose,
    /// The device that opened it. The device may not be enrolled.
    pub device: DeviceId,
    /// Its stage.
    pub state: SessionState,
    /// When it was opened, Unix seconds.
    pub opened_at: u64,
    /// When it expires, Unix seconds.
    pub expires: u64,
    /// SHA-256 of the secret that authenticates the device's next step.
    pub secret: Digest,
    /// The statement, encoded.
    pub statement: StatementBytes,
    /// How many persons must approve.
    pub needed: u8,
    /// The user code by which an approver on another device finds it.
    pub code: Option<CodeDigest>,
    /// The counts of failed attempts.
    pub failed: FailedAttempts,
    /// The first failed attempts, for the operator.
    pub refusals: Vec<Refused>,
    /// Why it ended, for people.
    pub outcome: Option<String>,
    /// The source address of the request, if the device was not enrolled.
    pub stranger: Option<String>,
    /// Data of the purpose that the statement does not contain, encoded.
    pub body: Vec<u8>,
}

/// The purpose of an approval session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// A pairing.
    Pairing,
    /// A protected action.
    Action,
}

/// The stage of an approval session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// Approvals are missing.
    Waiting,
    /// It was approved and has not been used.
    Approved,
    /// It was used.
    Spent,
    /// An operator or an approver declined it, or it had too many failed attempts.
    Declined,
    /// It has expired.
    Expired,
    /// A newer session of the device replaced it.
    Superseded,
}

/// The stored part of the user code. The code itself can be derived from the session's secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeDigest {
    /// The first group, which no other waiting session has.
    pub handle: String,
    /// The number of the code among those of this secret: the handles of earlier ones were in use.
    pub attempt: u32,
    /// SHA-256 of the secret letters.
    pub digest: Digest,
}

/// The counts of failed attempts in a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailedAttempts {
    /// Wrong user codes.
    pub codes: u8,
    /// Wrong confirmations.
    pub confirmations: u8,
    /// Rejected approvals.
    pub approvals: u8,
    /// Wrong proofs of an approved pairing.
    pub proofs: u8,
}

impl ApprovalSession {
    /// Returns the statement, encoded and decoded.
    ///
    /// # Errors
    /// [`DamagedStatement`]
    pub fn asked(&self) -> Result<(&StatementBytes, Statement), DamagedStatement> {
        Ok((&self.statement, self.statement.decode().map_err(|_| DamagedStatement)?))
    }

    /// Returns whether this is the secret of the session.
    #[must_use]
    pub fn is_opened_by(&self, secret: &[u8]) -> bool {
        Digest::of(secret).as_bytes().ct_eq(self.secret.as_bytes()).into()
    }

    /// Returns how many failed attempts are left before the session ends: the lowest number of all kinds.
    #[must_use]
    pub fn tries_left(&self) -> u8 {
        let failed = self.failed;
        TRIES.saturating_sub(failed.codes.max(failed.confirmations).max(failed.approvals))
    }

    /// Returns whether it is waiting or approved, and past its expiry.
    #[must_use]
    pub fn is_overdue(&self, now: u64) -> bool {
        matches!(self.state, SessionState::Waiting | SessionState::Approved) && self.expires <= now
    }
}

/// A stored statement that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored statement of a session is damaged")]
pub struct DamagedStatement;

/// Returns the refusal of a session that does not exist, or that belongs to another device.
#[must_use]
pub fn stale() -> Refusal {
    Refusal::new(RefusalCode::Stale, "this session is unknown or over; start again")
}

/// Returns the refusal for a session that has ended.
#[must_use]
pub fn over(session: &ApprovalSession) -> Refusal {
    match (session.state, &session.outcome) {
        (SessionState::Declined, Some(reason)) => {
            Refusal::new(RefusalCode::Declined, format_args!("the session was declined: {reason}"))
        }
        (SessionState::Superseded, _) => {
            Refusal::new(RefusalCode::Stale, "a newer session of this device has replaced this one")
        }
        (SessionState::Expired, _) => {
            Refusal::new(RefusalCode::Stale, "the session has expired; start again")
        }
        _ => stale(),
    }
}

/// An approval of a session, with a verified signature.
#[derive(Clone, Debug)]
pub struct SessionApproval {
    /// The approver and their key.
    pub approver: Approver,
    /// When the approver gave it, Unix seconds.
    pub given_at: u64,
    /// The armored SSHSIG over the statement's digest.
    pub signature: SshSignature,
    /// Whether it was given on another device than the one that opened the session.
    pub elsewhere: bool,
    /// SHA-256 of the confirmation that must be typed at the device; `None` once the approval counts.
    pub confirmation: Option<Digest>,
}

impl SessionApproval {
    /// Returns the approval as the device gets it, if it counts.
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
