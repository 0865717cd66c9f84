//! Sessions: what is approved, by whom, and how a device follows it.

use serde::{Deserialize, Serialize};

use super::{Access, Audience, Credential, Scope, ShortText, TpmStructure};
use crate::bounded::{Blob, Digest, Nonce, Text};
use crate::codec::{self, EncodeError, Version};
use crate::id::{DeviceId, Epoch, PairingId, SessionId};
use crate::limits;

/// An SSHSIG in its armor (OpenSSH, `PROTOCOL.sshsig`), as `ssh-keygen -Y sign` writes it.
pub type SshSignature = Blob<{ limits::SSH_SIGNATURE }>;

/// All that an approval covers. The control plane makes it, the device compares it with what it
/// asked for, and an approver signs its digest: in another session, for another device or for
/// anything else that stands here, the signature says nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// The message version.
    pub version: Version,
    /// The session.
    pub session: SessionId,
    /// The device that asks.
    pub device: DeviceId,
    /// The device's nonce of this session.
    pub nonce: Nonce,
    /// From where it was asked, as the device tells: the caller's user, and how it came.
    pub origin: ShortText,
    /// What is asked for: `pair`, `re-pair`, or the name of a protected action.
    pub action: ShortText,
    /// On what an action acts.
    pub resource: Option<ShortText>,
    /// SHA-256 of what an action acts with.
    pub subject: Option<Digest>,
    /// The workload's own session, in which an action is asked for.
    pub context: Option<ShortText>,
    /// Why.
    pub reason: ShortText,
    /// The scopes that the device asks for. The pairing gets those of them that the operator grants.
    pub scopes: Vec<Scope>,
    /// The audiences that the device asks for, beside the control plane's own URL.
    pub audiences: Vec<Audience>,
    /// What the operator granted the device when the session was opened; none for an action. A device that
    /// nobody has enrolled inherits the grant of the one that it replaces: it is shown here.
    pub granted: Option<Access>,
    /// The device whose place this one takes.
    pub replaces: Option<DeviceId>,
    /// How the control plane checked the endorsement key of a device that would be paired; none for an
    /// action.
    pub endorsement: Option<ShortText>,
    /// The epoch in which it was asked.
    pub epoch: Epoch,
    /// SHA-256 of the evidence that the device gave.
    pub evidence: Digest,
    /// SHA-256 over the values of the PCRs that leases name, in ascending order: what it runs.
    pub boot: Digest,
    /// When the session was opened, Unix seconds of the control plane.
    pub time: u64,
    /// When it is over.
    pub expires: u64,
}

impl Statement {
    /// The action of a first pairing.
    pub const PAIR: &str = "pair";
    /// The action of every later one.
    pub const RE_PAIR: &str = "re-pair";

    /// SHA-256 of the encoded statement.
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
    /// [`EncodeError`]; also when it is longer than a statement may be.
    pub fn of(statement: &Statement) -> Result<Self, EncodeError> {
        let bytes = codec::encode(statement)?;
        Ok(Self(Blob::new(bytes)?))
    }

    /// The statement.
    ///
    /// # Errors
    /// [`codec::DecodeError`] when these bytes are none.
    pub fn decode(&self) -> Result<Statement, codec::DecodeError> {
        codec::decode(self.0.as_bytes(), limits::STATEMENT)
    }

    /// SHA-256 of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// What an approver's SSH key signs, in the namespace `pawl-approval@v1`: the digest as 64
    /// lower-case hexadecimal digits, and nothing behind them.
    #[must_use]
    pub fn to_be_signed(&self) -> String {
        self.digest().to_string()
    }
}

/// An approval: a signature, and the statement that it was made for. Both are claims until the
/// signature is verified and the statement is compared with the session's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenApproval {
    /// What the approver was shown.
    pub statement: StatementBytes,
    /// The signature over its digest.
    pub signature: SshSignature,
}

/// Device: the proof that the session is this TPM's. It opens the session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionProof {
    /// The message version.
    pub version: Version,
    /// The request that was answered with the offer, unchanged.
    pub request: super::PairingRequest,
    /// `expires` of the offer.
    pub expires: u64,
    /// The activated credential of the offer.
    pub secret: Blob<64>,
    /// `TPMS_ATTEST` of `TPM2_NV_Certify` over the counter, on the offer's nonce.
    pub counter_attest: TpmStructure,
    /// Its `TPMT_SIGNATURE`, by the attestation key.
    pub counter_signature: TpmStructure,
    /// A whole report on the offer's nonce.
    pub report: super::Report,
}

/// Device: how far is it, and here is what has come. With neither it only asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApprovalStep {
    /// The message version.
    pub version: Version,
    /// What opened the session: it shows that the same device asks.
    pub secret: Blob<64>,
    /// An approval that was given at the device.
    pub approval: Option<GivenApproval>,
    /// The confirmation that an approver elsewhere was shown, as it was typed at the device.
    pub confirmation: Option<Text<32>>,
}

/// Control plane, 202: somebody has yet to approve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// The message version.
    pub version: Version,
    /// What is to be approved.
    pub statement: StatementBytes,
    /// Where an approver elsewhere goes.
    pub approval: Approval,
    /// How many persons must approve.
    pub needed: u8,
    /// Who has.
    pub approved: Vec<ShortText>,
    /// Approvals from elsewhere that wait for their confirmation at the device.
    pub unconfirmed: u8,
    /// How many more times something wrong may be given.
    pub tries_left: u8,
    /// The session is over after so many seconds.
    pub expires_in: u32,
    /// Ask again after so many seconds.
    pub retry_after: u32,
    /// What the control plane knows of what would end.
    pub known: Known,
}

/// Where a person approves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The code that the device shows and the approver types.
    pub user_code: ShortText,
    /// The page that says how.
    pub url: ShortText,
}

/// What the control plane knows of the device and of the one that it replaces, for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// What the operator calls the device; none while it is unknown.
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
    /// When it was made, Unix seconds.
    pub paired_at: u64,
    /// The scopes that it has now.
    pub scopes: Vec<Scope>,
}

/// Control plane, 200: approved. The old pairing is over, and the new one may be made, by the one
/// TPM that can open the credential.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairingApproved {
    /// The message version.
    pub version: Version,
    /// What was approved.
    pub statement: StatementBytes,
    /// The approvals; none where the operator's policy wants nobody's.
    pub approvals: Vec<GrantedApproval>,
    /// MakeCredential to the endorsement key for the attestation key's name: the grant.
    pub credential: Credential,
    /// The qualifying data of every certify structure, and the nonce of the proof's evidence.
    pub nonce: Nonce,
    /// `TPMT_PUBLIC` of the lease key.
    pub lease_key: TpmStructure,
    /// `TPMT_PUBLIC` of the key that authorizes actions.
    pub authorization_key: TpmStructure,
    /// The policyRef of this pairing, of which the keys' policies are made.
    pub policy_ref: Digest,
    /// The pairing must live in an epoch above this one.
    pub above: Epoch,
}

/// An approval that counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedApproval {
    /// Who approved, as the control plane knows them.
    pub principal: ShortText,
    /// The fingerprint of their key, `SHA256:…`.
    pub key: ShortText,
    /// When, Unix seconds of the control plane.
    pub time: u64,
    /// The signature over the statement's digest.
    pub signature: SshSignature,
}
