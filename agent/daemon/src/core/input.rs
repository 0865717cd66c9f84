//! The inputs of the core. Only the clocks are trusted: an attacker may have written the disk, the broker may send
//! anything, and an interposer may alter the TPM's answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pawl_local_api::{PairRequest, Token};
use pawl_proto::message::{
    self, BootLog, GivenApproval, HostFacts, HostHealth, ImaLog, MeasureLog, PairingApproved, PairingGrant,
    PairingOffer, RefusalCode, ShortText, Waiting,
};
use pawl_proto::{Epoch, Nonce, PcrValue, Text};
use pawl_tpm::{Attestation, Counter, Identity, NvDigest};
use zeroize::Zeroizing;

use super::common::{MessageId, NewKeys, ParcelKind, RequestId, Ticket, VaultKey};
use super::found::Found;
use crate::record::Moment;

/// An event outside of the core.
#[derive(Debug)]
pub enum Input {
    /// A deadline of the core has passed.
    Timer,
    /// The result of [`Effect::Examine`](super::Effect::Examine).
    Found(Ticket, Box<Found>),
    /// The TPM failed in [`Effect::Examine`](super::Effect::Examine).
    NotFound(Ticket, TpmFailure),
    /// An event of the link to the broker.
    Link(LinkInput),
    /// A TPM command has ended.
    Tpm(Ticket, Result<TpmAnswer, TpmFailure>),
    /// A write has reached the disk, or has failed.
    Written(Ticket, Result<(), String>),
    /// A call to the control plane has ended.
    Called(Ticket, Result<CallAnswer, CallFailure>),
    /// The result of [`Effect::Gather`](super::Effect::Gather).
    Gathered(Ticket, Result<Gathered, String>),
    /// The gate was opened. The vault has these tokens.
    VaultOpened(Vec<HeldToken>),
    /// A request on the local socket.
    Request(RequestId, Request),
}

/// An event of the link to the broker.
#[derive(Debug)]
pub enum LinkInput {
    /// The link has connected.
    Connected,
    /// The link has lost its connection, or could not make one. It tries again.
    Lost(String),
    /// The broker has confirmed the subscriptions.
    Subscribed,
    /// The broker refuses a subscription.
    SubscriptionRefused(String),
    /// A message, unverified.
    Message {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Vec<u8>,
        /// Identifies it in its acknowledgement.
        id: Option<MessageId>,
    },
    /// The broker has a parcel, and has a subscriber for it.
    Delivered(ParcelKind),
    /// The broker has dropped a parcel: it has no subscriber, or the broker refuses it.
    Undelivered(ParcelKind),
}

/// The result of a TPM command.
#[derive(Debug)]
pub enum TpmAnswer {
    /// The counter was incremented.
    Incremented,
    /// The counter's value; none if the TPM has no counter.
    Counter(Option<Epoch>),
    /// `TPMS_ATTEST` and `TPMT_SIGNATURE` of TPM2_NV_Certify.
    Certified {
        /// `TPMS_ATTEST`.
        attest: Vec<u8>,
        /// `TPMT_SIGNATURE`.
        signature: Vec<u8>,
    },
    /// The TPM has accepted the lease.
    Unsealed {
        /// The vault's key.
        key: VaultKey,
        /// The TPM's clock, ms.
        clock_ms: u64,
    },
    /// The index of the lease whose PCR digest fits the PCRs.
    Matched(Option<usize>),
    /// The counter's value, and whether this TPM has the pairing's attestation key.
    Checked(Option<Epoch>, bool),
    /// The counter was removed; false if there was none.
    Deprovisioned(bool),
    /// An epoch was ended: its value, and the value after it.
    Ended(Epoch, Epoch),
    /// The counter.
    Provisioned(Counter),
    /// The endorsement key and the attestation key.
    Identity(Arc<Identity>),
    /// The secret of the credential.
    Activated(Secret),
    /// The keys of a pairing.
    Created(NewKeys),
    /// The certificates of those keys.
    KeysCertified(Box<KeyCertificates>),
    /// A PKCS #10 request, DER.
    LinkRequested(Vec<u8>),
    /// The PCRs that every report quotes; all of one bank.
    Pcrs(BTreeMap<u8, PcrValue>),
    /// The NvPCRs that could be read.
    NvPcrs(Vec<NvPcr>),
    /// The NV indices that the TPM has.
    PresentNvPcrs(Vec<u32>),
    /// A quote.
    Quoted(Attestation),
    /// The NvPCRs that the TPM certified, by their handles.
    NvPcrsCertified(Vec<(u32, Attestation)>),
}

/// The attestation key's certificates (TPM2_Certify) for the keys of a pairing.
#[derive(Debug)]
pub struct KeyCertificates {
    /// Of the link key.
    pub link: Attestation,
    /// Of the device key.
    pub device: Attestation,
    /// Of the vault key.
    pub vault: Attestation,
    /// Of the action key.
    pub action: Attestation,
}

/// An NvPCR and its contents.
#[derive(Clone, Debug)]
pub struct NvPcr {
    /// Its handle.
    pub handle: u32,
    /// Its public area and value.
    pub found: NvDigest,
}

/// The secret of a credential; zeroized on drop.
pub struct Secret(pub Zeroizing<Vec<u8>>);

impl fmt::Debug for Secret {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The result of [`Effect::Gather`](super::Effect::Gather).
#[derive(Debug)]
pub enum Gathered {
    /// For a pairing request.
    Host {
        /// Facts about the host.
        facts: HostFacts,
        /// Fresh and random.
        nonce: Nonce,
    },
    /// For a report.
    Logs(Box<GatheredLogs>),
}

/// The host's part of a report.
#[derive(Clone, Debug)]
pub struct GatheredLogs {
    /// Linux's random id of this boot.
    pub boot_id: Text<64>,
    /// The random id of this run of the daemon.
    pub run: Nonce,
    /// Facts about the host, for a full report.
    pub facts: Option<HostFacts>,
    /// The host's health.
    pub health: HostHealth,
    /// The firmware's log.
    pub boot: Option<BootLog>,
    /// A piece of systemd's measurement log.
    pub measure: Option<MeasureLog>,
    /// The handles of the NvPCRs that systemd's log names; none if it was not read.
    pub named_nvpcrs: Option<Vec<u32>>,
    /// A piece of the IMA log.
    pub ima: Option<ImaLog>,
    /// The audit records that the control plane lacks; none if the disk cannot be read.
    pub audit: Option<message::Audit>,
}

/// The executor gave the result of another effect.
pub(super) const UNEXPECTED: &str = "the result is that of another effect";

/// Why a TPM command failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct TpmFailure {
    /// How the core reacts.
    pub kind: TpmFailureKind,
    /// What failed, for people.
    pub text: String,
    /// What to do.
    pub remedy: String,
}

impl TpmFailure {
    pub(super) fn unexpected() -> Self {
        Self { kind: TpmFailureKind::Transient, text: UNEXPECTED.to_owned(), remedy: String::new() }
    }
}

/// How the core reacts to a failed TPM command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TpmFailureKind {
    /// The TPM refused a lease because of its PCRs.
    Pcrs,
    /// The TPM refused a lease for another reason than PCRs or epoch.
    Lease,
    /// The TPM refuses a key permanently: its epoch has ended, or another TPM made it.
    Key,
    /// The TPM gave no usable answer. The same command may succeed later.
    Transient,
}

/// The result of a call to the control plane.
#[derive(Debug)]
pub enum CallAnswer {
    /// The control plane has the receipt. If the device does not know the event that ended the epoch, the answer has that event,
    /// signed.
    ReceiptTaken(Option<Vec<u8>>),
    /// A token.
    Token(Token),
    /// The control plane offers a session.
    Offered(Box<PairingOffer>),
    /// The state of a session.
    Session(SessionAnswer),
    /// A pairing was granted.
    Granted(Box<PairingGrant>),
}

/// The state of an approval session.
#[derive(Clone, Debug)]
pub enum SessionAnswer {
    /// The control plane has ended the old pairing. The device may create the new one.
    Approved(Box<PairingApproved>),
    /// An approval is missing. Nothing has changed.
    Waiting(Box<Waiting>),
}

/// Why a call to the control plane failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct CallFailure {
    /// What failed, for people.
    pub text: String,
    /// What to do.
    pub remedy: String,
    /// Whether the same call may succeed soon.
    pub is_transient: bool,
    /// The control plane's refusal code; none if it did not refuse the call.
    pub refusal: Option<RefusalCode>,
}

impl CallFailure {
    pub(super) fn unexpected() -> Self {
        let (text, remedy) = (UNEXPECTED.to_owned(), String::new());
        Self { text, remedy, is_transient: false, refusal: None }
    }

    /// Returns the failure of a call that was not sent.
    pub(super) fn local(error: &dyn std::error::Error) -> Self {
        let (text, remedy) =
            (error.to_string(), "show the operator of the control plane this message".to_owned());
        Self { text, remedy, is_transient: false, refusal: None }
    }

    /// Returns whether the session continues: the control plane only refused what the caller submitted.
    pub(super) fn is_rejected_input(&self) -> bool {
        use RefusalCode::{ApprovalRefused, Malformed, NoApprovers};
        matches!(self.refusal, Some(ApprovalRefused | NoApprovers | Malformed))
    }
}

/// A token in the vault, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldToken {
    /// Its name in the configuration.
    pub name: String,
    /// Its scopes, separated by spaces.
    pub scope: String,
    /// Its audience.
    pub audience: String,
    /// When it arrived: Unix time, seconds.
    pub kept_at: u64,
    /// When it expires: Unix time, seconds.
    pub expires_at: u64,
}

impl HeldToken {
    /// Returns whether a workload may have it at `now`, Unix seconds. A token that arrived later than now counts as expired: the
    /// clock was ahead then.
    pub(super) fn is_live(&self, now: u64) -> bool {
        self.kept_at <= now && now < self.expires_at
    }

    /// Returns when to request its successor: Unix time, seconds. At two thirds of its life, so that a workload never gets a token
    /// that is about to expire.
    pub(super) fn renew_at(&self) -> u64 {
        let lifetime = self.expires_at.saturating_sub(self.kept_at);
        self.expires_at.saturating_sub(lifetime / 3)
    }
}

/// A request on the local socket.
#[derive(Clone, Debug)]
pub enum Request {
    /// A session for a pairing.
    Pair(PairRequest),
    /// Submit an approval that was given at the device.
    Approve(GivenApproval),
    /// Submit the confirmation that an approver elsewhere was shown.
    Confirm(Text<32>),
    /// Give up the session.
    GiveUp,
    /// End the pairing, for this reason.
    Wipe(ShortText),
    /// End the pairing and remove the counter from the TPM.
    Deprovision,
}

/// When the TPM made an attestation, for the audit record.
pub(super) fn moment(attest: &[u8]) -> Option<Moment> {
    Moment::of(attest)
}
