//! Pairing over HTTPS: `POST /v1/pairings`, then `…/{id}/session` and `…/{id}/approval` of
//! [`super::session`], then `…/{id}/proof`.

use serde::{Deserialize, Serialize};

use super::entitlement::Audience;
use super::evidence::HostFacts;
use super::{Certificate, Scope, ShortText, TpmStructure};
use crate::bounded::{Blob, Nonce};
use crate::codec::Version;
use crate::id::{DeviceId, Epoch, PairingId, SessionId};
use crate::signed::OrderKey;
use crate::{limits, open_enum};

/// Device: its claimed identity, and what it requests. Nothing in it is proved yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairingRequest {
    /// The message version.
    pub version: Version,
    /// The device id, which must derive from `endorsement_key`.
    pub device: DeviceId,
    /// `TPMT_PUBLIC` of the endorsement key.
    pub endorsement_key: TpmStructure,
    /// The certificates in the TPM's NV memory: the endorsement key's, then its chain, if there is one.
    pub endorsement_certificates: Vec<Certificate>,
    /// `TPMT_PUBLIC` of the attestation key.
    pub attestation_key: TpmStructure,
    /// `TPMS_NV_PUBLIC` of the epoch counter, written.
    pub counter: TpmStructure,
    /// The counter's value: the epoch that this pairing would have.
    pub epoch: Epoch,
    /// What the device says of its host.
    pub host: HostFacts,
    /// The device's random nonce for this session.
    pub nonce: Nonce,
    /// Who asks: the caller's user, and how they reached the device.
    pub origin: ShortText,
    /// Whether the device's TPM and disk were paired before.
    pub finding: Finding,
    /// The device that the pairing on the disk was made with, if it is another one. A claim.
    pub former: Option<DeviceId>,
    /// The device that this one replaces.
    pub replaces: Option<DeviceId>,
    /// Whether somebody is at the device who can read out a code or approve.
    pub attended: bool,
    /// Why the device pairs.
    pub reason: ShortText,
    /// The requested scopes; the operator's grant decides.
    pub scopes: Vec<Scope>,
    /// The requested audiences, in addition to the control plane's own URL; the operator's grant decides.
    pub audiences: Vec<Audience>,
}

open_enum! {
    /// Whether a device's TPM and disk were paired before. A claim, as everything on the disk.
    pub enum Finding {
        /// The pairing on the disk was made with this TPM.
        NothingChanged = "nothing-changed",
        /// The pairing on the disk was made with another TPM.
        NewTpm = "new-tpm",
        /// The TPM has an epoch counter, and the disk has no pairing.
        NewDisk = "new-disk",
        /// Neither the TPM nor the disk was ever paired.
        BothNew = "both-new",
    }
}

/// Control plane: a credential that only the claimed TPM can open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairingOffer {
    /// The message version.
    pub version: Version,
    /// The session. A pairing that results from it has the same id.
    pub session: SessionId,
    /// MakeCredential to the endorsement key for the attestation key's name.
    pub credential: Credential,
    /// The qualifying data of the certified counter, and the nonce of the evidence.
    pub nonce: Nonce,
    /// When the offer expires, Unix seconds of the control plane. The control plane stores no offer: the device returns
    /// this and its request with the proof.
    pub expires: u64,
}

/// A secret that only the TPM with the right endorsement key opens, and only for the right attestation key: the two
/// outputs of `TPM2_MakeCredential` (TPM 2.0 Library, Part 3). Not secret itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Credential {
    /// The contents of the `TPM2B_ID_OBJECT`.
    pub id_object: TpmStructure,
    /// The contents of the `TPM2B_ENCRYPTED_SECRET`.
    pub secret: TpmStructure,
}

/// Device: the proof that all keys and the counter are in one TPM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairingProof {
    /// The message version.
    pub version: Version,
    /// The activated credential of the approval: the grant.
    pub secret: Blob<64>,
    /// The key of the broker connection.
    pub link_key: CertifiedKey,
    /// The key of DPoP proofs and client assertions.
    pub device_key: CertifiedKey,
    /// The sealed key of the vault.
    pub vault_key: CertifiedKey,
    /// The key of protected actions.
    pub action_key: CertifiedKey,
    /// `TPMS_ATTEST` of `TPM2_NV_Certify` over the counter.
    pub counter_attest: TpmStructure,
    /// Its `TPMT_SIGNATURE`, by the attestation key.
    pub counter_signature: TpmStructure,
    /// The first report of the new epoch, in full.
    pub report: super::Report,
    /// The PKCS #10 request for the link key's certificate.
    pub link_request: Certificate,
}

/// A key, and the attestation key's certification that the TPM holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CertifiedKey {
    /// `TPMT_PUBLIC`.
    pub public: TpmStructure,
    /// `TPMS_ATTEST` of `TPM2_Certify`.
    pub attest: TpmStructure,
    /// `TPMT_SIGNATURE`.
    pub signature: TpmStructure,
}

/// Control plane, 201: the pairing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairingGrant {
    /// The message version.
    pub version: Version,
    /// The pairing.
    pub pairing: PairingId,
    /// The device that it binds.
    pub device: DeviceId,
    /// The epoch of the pairing.
    pub epoch: Epoch,
    /// The control plane's name for itself, for people.
    pub control_plane: ShortText,
    /// How the control plane checked the endorsement key, for people.
    pub endorsement: ShortText,
    /// The link key's certificate chain, leaf first.
    pub link_certificates: Vec<Certificate>,
    /// The broker to connect to.
    pub broker: Broker,
    /// The requested scopes that the operator grants. The first verdict has the whole entitlement.
    pub scopes: Vec<Scope>,
    /// The keys that may sign orders. The device pins them.
    pub order_keys: Vec<OrderKey>,
    /// The first verdict, signed for the device's verdict topic.
    pub verdict: Blob<{ limits::ORDER }>,
}

/// The address of the broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broker {
    /// The host name or IP address in its certificate.
    pub host: ShortText,
    /// The TCP port.
    pub port: u16,
    /// The certificate of the CA that issued its certificate, DER.
    pub authority: Certificate,
}

/// Control plane, 4xx: a refusal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairingRefusal {
    /// The message version.
    pub version: Version,
    /// For programs.
    pub code: RefusalCode,
    /// For a technician: what is wrong and what to do.
    pub message: ShortText,
}

open_enum! {
    /// Why a pairing or an action was refused.
    pub enum RefusalCode {
        /// The operator has not enrolled this endorsement key.
        NotEnrolled = "not-enrolled",
        /// The endorsement key or its certificate failed verification.
        EndorsementKey = "endorsement-key",
        /// An earlier pairing had this epoch, or the approval ended it.
        EpochSpent = "epoch-spent",
        /// Epoch, resetCount or clock went backwards.
        WentBackwards = "went-backwards",
        /// The session is unknown or over, or its nonce is stale. Start again.
        Stale = "stale",
        /// The proof failed verification.
        Proof = "proof",
        /// The device is not in an approved state.
        Posture = "posture",
        /// The request itself is malformed.
        Malformed = "malformed",
        /// Too many requests at once.
        Busy = "busy",
        /// The device is suspended.
        Suspended = "suspended",
        /// A person must approve, and nobody is at the device.
        ApprovalRequired = "approval-required",
        /// A person must approve, and no approvers are configured.
        NoApprovers = "no-approvers",
        /// The approval, the user code or the confirmation is wrong. The operator sees why.
        ApprovalRefused = "approval-refused",
        /// The operator or the approver declined.
        Declined = "declined",
        /// The device changed its boot state after the approval.
        PostureChanged = "posture-changed",
        /// No policy of the control plane has this action.
        ActionUnknown = "action-unknown",
    }
}
