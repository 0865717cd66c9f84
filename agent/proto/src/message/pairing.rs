//! Pairing over HTTPS: `POST /v1/pairings`, then `…/{id}/session` and `…/{id}/approval` of
//! [`super::session`], then `…/{id}/proof`.

use serde::{Deserialize, Serialize};

use super::{Audience, Certificate, HostFacts, Scope, ShortText, TpmStructure};
use crate::bounded::{Blob, Nonce};
use crate::codec::Version;
use crate::id::{DeviceId, Epoch, PairingId, SessionId};
use crate::limits;
use crate::open_enum;
use crate::signed::OrderKey;

/// Device: who it says it is, and what it wants. Nothing here is proven yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairingRequest {
    /// The message version.
    pub version: Version,
    /// The device; it must follow from `endorsement_key`.
    pub device: DeviceId,
    /// `TPMT_PUBLIC` of the endorsement key.
    pub endorsement_key: TpmStructure,
    /// Its certificates from the TPM's NV: the leaf first, then what chain there is.
    pub endorsement_certificates: Vec<Certificate>,
    /// `TPMT_PUBLIC` of the attestation key.
    pub attestation_key: TpmStructure,
    /// `TPMS_NV_PUBLIC` of the epoch counter, written.
    pub counter: TpmStructure,
    /// The counter's value: the epoch in which this pairing would live.
    pub epoch: Epoch,
    /// What the device says of its host.
    pub host: HostFacts,
    /// The device's nonce of this session; random.
    pub nonce: Nonce,
    /// From where it was asked: the caller's user, and how it came.
    pub origin: ShortText,
    /// What the device found when it was asked.
    pub finding: Finding,
    /// The device that the pairing on the disk was made with, where it is another. A claim.
    pub former: Option<DeviceId>,
    /// The device whose place this one takes.
    pub replaces: Option<DeviceId>,
    /// Somebody stands at the device, who can show a code or approve.
    pub attended: bool,
    /// Why a pairing is wanted.
    pub reason: ShortText,
    /// The scopes that are asked for; the operator's grant decides.
    pub scopes: Vec<Scope>,
    /// The audiences that are asked for, beside the control plane's own URL; the same.
    pub audiences: Vec<Audience>,
}

open_enum! {
    /// What a device finds of its own past. A claim, as all that the disk says.
    pub enum Finding {
        /// The pairing on the disk was made with this TPM.
        NothingChanged = "nothing-changed",
        /// The pairing on the disk was made with another TPM.
        NewTpm = "new-tpm",
        /// The TPM has an epoch counter, and the disk knows of no pairing.
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
    /// The session; the pairing that may come of it takes its id.
    pub session: SessionId,
    /// MakeCredential to the endorsement key for the attestation key's name.
    pub credential: Credential,
    /// The qualifying data of the certified counter, and the nonce of the evidence.
    pub nonce: Nonce,
    /// Until when it may be answered, Unix seconds of the control plane. The control plane keeps no
    /// offer: the device brings this and its request back with the proof.
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

/// Device: the proof that all of it lives in one TPM.
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
    /// The first report of the new epoch, whole.
    pub report: super::Report,
    /// The PKCS #10 request for the link key's certificate.
    pub link_request: Certificate,
}

/// A key and the attestation key's word that the TPM holds it.
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
    /// The one epoch in which it lives.
    pub epoch: Epoch,
    /// What the control plane calls itself, for people.
    pub control_plane: ShortText,
    /// How the endorsement key was checked, for people.
    pub endorsement: ShortText,
    /// The link key's certificate chain, leaf first.
    pub link_certificates: Vec<Certificate>,
    /// Where reports go.
    pub broker: Broker,
    /// The scopes that the device asked for and the operator grants. The first verdict has the whole
    /// entitlement.
    pub scopes: Vec<Scope>,
    /// The keys that may sign orders, pinned from now on.
    pub order_keys: Vec<OrderKey>,
    /// The first verdict, signed for the device's verdict topic.
    pub verdict: Blob<{ limits::ORDER }>,
}

/// The broker, as the control plane names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broker {
    /// A host name or address, as its certificate has it.
    pub host: ShortText,
    /// The TCP port.
    pub port: u16,
    /// The certificate authority of its certificate, DER.
    pub authority: Certificate,
}

/// Control plane, 4xx: no.
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
        /// Nobody enrolled this endorsement key.
        NotEnrolled = "not-enrolled",
        /// The endorsement key or its certificate does not hold.
        EndorsementKey = "endorsement-key",
        /// An earlier pairing lived in this epoch, or the one that the approval ended.
        EpochSpent = "epoch-spent",
        /// Epoch, resetCount or clock went backwards.
        WentBackwards = "went-backwards",
        /// The session is unknown, over, or its nonce is stale: ask anew.
        Stale = "stale",
        /// The proof does not hold.
        Proof = "proof",
        /// The device runs what nobody approved.
        Posture = "posture",
        /// The request itself is malformed.
        Malformed = "malformed",
        /// Too many requests at once.
        Busy = "busy",
        /// The device is suspended.
        Suspended = "suspended",
        /// A person must approve, and nobody stands at the device.
        ApprovalRequired = "approval-required",
        /// A person must approve, and the control plane knows nobody who may.
        NoApprovers = "no-approvers",
        /// The approval, the code or the confirmation does not count here. Why is told to the operator.
        ApprovalRefused = "approval-refused",
        /// The operator or the approver said no.
        Declined = "declined",
        /// What the device runs is not what was approved.
        PostureChanged = "posture-changed",
        /// No policy lets this action.
        ActionUnknown = "action-unknown",
    }
}
