//! Approval sessions: what is approved, by whom, and how a device follows the session.

use serde::{Deserialize, Serialize};

use super::entitlement::{Access, Audience};
use super::pairing::Credential;
use super::{Scope, ShortText, TpmStructure};
use crate::bounded::{Blob, Digest, Nonce, Text};
use crate::codec::{EncodeError, Version};
use crate::id::{DeviceId, Epoch, PairingId, SessionId};
use crate::{codec, limits};

/// An SSHSIG in its armor (OpenSSH, `PROTOCOL.sshsig`), as `ssh-keygen -Y sign` writes it.
pub type SshSignature = Blob<{ limits::SSH_SIGNATURE }>;

/// Everything that an approval covers. The control plane composes it, the device compares it with its request, and an
/// approver signs its digest. The signature is worthless in another session, for another device, or if any other field
/// differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// The message version.
    pub version: Version,
    /// The session.
    pub session: SessionId,
    /// The device that asks for approval.
    pub device: DeviceId,
    /// The device's nonce of this session.
    pub nonce: Nonce,
    /// Who asks, as the device reports it: the caller's user, and how they reached the device.
    pub origin: ShortText,
    /// `pair`, `re-pair`, or the name of a protected action.
    pub action: ShortText,
    /// The target of an action.
    pub resource: Option<ShortText>,
    /// SHA-256 of the action's input.
    pub subject: Option<Digest>,
    /// The workload's own session, in which it requests an action.
    pub context: Option<ShortText>,
    /// Why.
    pub reason: ShortText,
    /// The requested scopes. The pairing gets those of them that the operator grants.
    pub scopes: Vec<Scope>,
    /// The requested audiences, in addition to the control plane's own URL.
    pub audiences: Vec<Audience>,
    /// What the operator granted the device when the session was opened; none for an action. A device that is not
    /// enrolled inherits the grant of the device that it replaces.
    pub granted: Option<Access>,
    /// The device that this one replaces.
    pub replaces: Option<DeviceId>,
    /// How the control plane checked the endorsement key; none for an action.
    pub endorsement: Option<ShortText>,
    /// The epoch in which the device asked.
    pub epoch: Epoch,
    /// SHA-256 of the evidence that the device sent.
    pub evidence: Digest,
    /// SHA-256 over the values of the PCRs that leases name, in ascending order: what the device runs.
    pub boot: Digest,
    /// When the session was opened, Unix seconds of the control plane.
    pub time: u64,
    /// When it expires.
    pub expires: u64,
}

impl Statement {
    /// The action of a first pairing.
    pub const PAIR: &str = "pair";
    /// The action of every later one.
    pub const RE_PAIR: &str = "re-pair";

    /// Returns the SHA-256 of the encoded statement.
    ///
    /// # Errors
    /// [`EncodeError`] as for [`codec::encode`].
    pub fn digest(&self) -> Result<Digest, EncodeError> {
        Ok(Digest::of(&codec::encode(self)?))
    }
}

/// A [`Statement`], encoded: the bytes whose digest is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StatementBytes(pub Blob<{ limits::STATEMENT }>);

impl StatementBytes {
    /// Encodes a statement.
    ///
    /// # Errors
    /// [`EncodeError`], also if the statement is too long.
    pub fn of(statement: &Statement) -> Result<Self, EncodeError> {
        let bytes = codec::encode(statement)?;
        Ok(Self(Blob::new(bytes)?))
    }

    /// Decodes the statement.
    ///
    /// # Errors
    /// [`codec::DecodeError`] if these bytes are not a statement.
    pub fn decode(&self) -> Result<Statement, codec::DecodeError> {
        codec::decode(self.0.as_bytes(), limits::STATEMENT)
    }

    /// Returns the SHA-256 of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// Returns what an approver's SSH key signs in the namespace `pawl-approval@v1`: the digest as 64 lower-case
    /// hexadecimal digits, without a line end.
    #[must_use]
    pub fn to_be_signed(&self) -> String {
        self.digest().to_string()
    }
}

/// An approval: a signature, and the statement that it covers. Trust neither before the signature is verified and the
/// statement compared with the session's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenApproval {
    /// What the approver was shown.
    pub statement: StatementBytes,
    /// The signature over its digest.
    pub signature: SshSignature,
}

/// Device: opens the session, with the proof that this TPM asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionProof {
    /// The message version.
    pub version: Version,
    /// The request that the offer answered, unchanged.
    pub request: super::PairingRequest,
    /// `expires` of the offer.
    pub expires: u64,
    /// The activated credential of the offer.
    pub secret: Blob<64>,
    /// `TPMS_ATTEST` of `TPM2_NV_Certify` over the counter, on the offer's nonce.
    pub counter_attest: TpmStructure,
    /// Its `TPMT_SIGNATURE`, by the attestation key.
    pub counter_signature: TpmStructure,
    /// A full report on the offer's nonce.
    pub report: super::Report,
}

/// Device: polls the session. May submit an approval or a confirmation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApprovalStep {
    /// The message version.
    pub version: Version,
    /// The secret that opened the session, which proves that the same device polls.
    pub secret: Blob<64>,
    /// An approval given at the device.
    pub approval: Option<GivenApproval>,
    /// The confirmation code of an approver elsewhere, as somebody typed it at the device.
    pub confirmation: Option<Text<32>>,
}

/// Control plane, 202: the session waits for approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// The message version.
    pub version: Version,
    /// The statement to approve.
    pub statement: StatementBytes,
    /// How an approver elsewhere finds the session.
    pub approval: Approval,
    /// How many people must approve.
    pub needed: u8,
    /// Who has approved.
    pub approved: Vec<ShortText>,
    /// Approvals given elsewhere whose confirmation code nobody has typed at the device yet.
    pub unconfirmed: u8,
    /// How many more wrong approvals or codes the session accepts before it fails.
    pub tries_left: u8,
    /// The seconds until the session expires.
    pub expires_in: u32,
    /// The seconds until the next poll.
    pub retry_after: u32,
    /// The pairings that would end, as far as the control plane knows.
    pub known: StatementContext,
}

/// How a person finds the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The user code, which the device shows and the approver types.
    pub user_code: ShortText,
    /// The verification URI.
    pub url: ShortText,
}

/// What the control plane knows of the device and of the one that it replaces, for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatementContext {
    /// The operator's label of the device; none if it is unknown.
    pub label: Option<ShortText>,
    /// The live pairing of this device that would end.
    pub ends: Option<Ending>,
    /// The live or last pairing of the device that is replaced.
    pub replaced: Option<Ending>,
}

/// A pairing that an approval ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    /// Its id.
    pub pairing: PairingId,
    /// Its epoch.
    pub epoch: Epoch,
    /// When the device was paired, Unix seconds.
    pub paired_at: u64,
    /// Its present scopes.
    pub scopes: Vec<Scope>,
}

/// Control plane, 200: approved. The old pairing has ended. The TPM that can open the credential may make the new one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairingApproved {
    /// The message version.
    pub version: Version,
    /// What was approved.
    pub statement: StatementBytes,
    /// The approvals; none if the operator's policy requires no approver.
    pub approvals: Vec<GrantedApproval>,
    /// MakeCredential to the endorsement key for the attestation key's name: the grant.
    pub credential: Credential,
    /// The qualifying data of every certify structure, and the nonce of the proof's evidence.
    pub nonce: Nonce,
    /// `TPMT_PUBLIC` of the lease key.
    pub lease_key: TpmStructure,
    /// `TPMT_PUBLIC` of the key that authorizes actions.
    pub authorization_key: TpmStructure,
    /// The policyRef of this pairing, which the keys' policies contain.
    pub policy_ref: Digest,
    /// The epoch of the pairing must be above this one.
    pub above: Epoch,
}

/// An accepted approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedApproval {
    /// The approver's name in the control plane's list of signers.
    pub principal: ShortText,
    /// The fingerprint of their key, `SHA256:…`.
    pub key: ShortText,
    /// When, Unix seconds of the control plane.
    pub time: u64,
    /// The signature over the statement's digest.
    pub signature: SshSignature,
}
