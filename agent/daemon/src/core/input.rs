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

use super::effect::{NewKeys, ParcelKind, Ticket};
use super::examination::Found;
use super::procedure::UNEXPECTED;
use crate::record::Moment;

/// Names a message of the broker that can be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId(pub u64);

/// Names a request of the local API that wants an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// A deadline of the core has come.
    Timer,
    /// What [`Effect::Examine`](super::Effect::Examine) found on the disk and in the TPM.
    Found(Ticket, Box<Found>),
    /// The TPM did not even tell its counter.
    NotFound(Ticket, TpmFailure),
    /// The link to the broker.
    Link(LinkInput),
    /// A command of the TPM has ended.
    Tpm(Ticket, Result<TpmAnswer, TpmFailure>),
    /// A write has reached the disk, or has failed.
    Written(Ticket, Result<(), String>),
    /// A call of the control plane has ended.
    Called(Ticket, Result<CallAnswer, CallFailure>),
    /// What the host knows was read, or could not be.
    Gathered(Ticket, Result<Gathered, String>),
    /// The gate was opened; these tokens were in the vault.
    VaultOpened(Vec<HeldToken>),
    /// A request on the local socket.
    Request(RequestId, Request),
}

/// What the link to the broker tells.
#[derive(Debug)]
pub enum LinkInput {
    /// The connection stands.
    Connected,
    /// The connection is gone, or was not made; the link goes on trying.
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
        /// Names it for its acknowledgement.
        id: Option<MessageId>,
    },
    /// The broker has a parcel, and somebody who subscribed to it.
    Delivered(ParcelKind),
    /// The broker has dropped a parcel: nobody subscribes to it, or it refuses it.
    Undelivered(ParcelKind),
}

/// What a TPM command gave.
#[derive(Debug)]
pub enum TpmAnswer {
    /// The counter has moved on.
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
    /// A lease was accepted.
    Unsealed {
        /// The vault's key.
        key: VaultKey,
        /// The TPM's clock, ms.
        clock_ms: u64,
    },
    /// Which of the leases ahead is for what the PCRs show.
    Matched(Option<usize>),
    /// The counter's value, and whether this TPM has the pairing's attestation key.
    Checked(Option<Epoch>, bool),
    /// The counter was removed; whether there was one.
    Deprovisioned(bool),
    /// An epoch was ended: it, and the one that is now.
    Ended(Epoch, Epoch),
    /// The counter, which the TPM has in any case now.
    Provisioned(Counter),
    /// Endorsement key and attestation key.
    Identity(Arc<Identity>),
    /// What the credential held.
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

/// What the attestation key says of each key of a pairing.
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

/// An NvPCR, and what was read of it.
#[derive(Clone, Debug)]
pub struct NvPcr {
    /// Its handle.
    pub handle: u32,
    /// What was read.
    pub found: NvDigest,
}

/// What a credential held, zeroized when it is dropped.
pub struct Secret(pub Zeroizing<Vec<u8>>);

impl fmt::Debug for Secret {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What [`Effect::Gather`](super::Effect::Gather) read.
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

/// What a report takes along of the host.
#[derive(Clone, Debug)]
pub struct GatheredLogs {
    /// Linux's random id of this boot.
    pub boot_id: Text<64>,
    /// The random id of this run of the daemon.
    pub run: Nonce,
    /// Facts about the host, for a whole report.
    pub facts: Option<HostFacts>,
    /// How the host is doing.
    pub health: HostHealth,
    /// The firmware's log.
    pub boot: Option<BootLog>,
    /// A piece of systemd's measurement log.
    pub measure: Option<MeasureLog>,
    /// The handles of the NvPCRs that systemd's log names; none if it was not read.
    pub named_nvpcrs: Option<Vec<u32>>,
    /// A piece of the IMA log.
    pub ima: Option<ImaLog>,
    /// The audit records that the control plane does not have; none while the disk does not give them.
    pub audit: Option<message::Audit>,
}

/// The key of the vault, zeroized when it is dropped.
pub struct VaultKey(pub Zeroizing<[u8; 32]>);

impl fmt::Debug for VaultKey {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultKey")
    }
}

/// Why a TPM command failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct TpmFailure {
    /// What follows from it.
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

/// What follows from a failed TPM command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TpmFailureKind {
    /// The TPM refused a lease for its PCRs.
    Pcrs,
    /// The TPM refused a lease for another reason than PCRs or epoch.
    Lease,
    /// The TPM refused a key for good: its epoch is over, or another TPM made it.
    Key,
    /// The TPM did not answer as it should. The same command may succeed later.
    Transient,
}

/// What a call of the control plane gave.
#[derive(Debug)]
pub enum CallAnswer {
    /// It has the receipt, and tells the signed event that ended the epoch if the receipt says that the device does not
    /// know it.
    ReceiptTaken(Option<Vec<u8>>),
    /// A token.
    Token(Token),
    /// A session is offered.
    Offered(Box<PairingOffer>),
    /// How a session stands.
    Session(SessionAnswer),
    /// A pairing was granted.
    Granted(Box<PairingGrant>),
}

/// How an approval session stands.
#[derive(Clone, Debug)]
pub enum SessionAnswer {
    /// The old pairing is over for the control plane; the new one may be made.
    Approved(Box<PairingApproved>),
    /// Somebody has yet to approve. Nothing has changed.
    Waiting(Box<Waiting>),
}

/// Why a call of the control plane failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct CallFailure {
    /// What failed, for people.
    pub text: String,
    /// What to do.
    pub remedy: String,
    /// Whether the same call may succeed soon.
    pub is_transient: bool,
    /// The code with which the control plane refused the call; none if it did not.
    pub refusal: Option<RefusalCode>,
}

impl CallFailure {
    pub(super) fn unexpected() -> Self {
        let (text, remedy) = (UNEXPECTED.to_owned(), String::new());
        Self { text, remedy, is_transient: false, refusal: None }
    }

    /// The call was not made.
    pub(super) fn local(error: &dyn std::error::Error) -> Self {
        let (text, remedy) =
            (error.to_string(), "show the operator of the control plane this message".to_owned());
        Self { text, remedy, is_transient: false, refusal: None }
    }

    /// Returns whether what was submitted did not count, and the session goes on.
    pub(super) fn spares_the_session(&self) -> bool {
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
    /// When it came: Unix time, seconds.
    pub kept_at: u64,
    /// When it expires: Unix time, seconds.
    pub expires_at: u64,
}

impl HeldToken {
    /// Returns whether a workload may have it at `now`, Unix seconds. One that came later than now has expired: the
    /// clock was ahead.
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

/// What the local socket asks of the core.
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
