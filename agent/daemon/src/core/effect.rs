//! What the core has done for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pawl_local_api::{Deprovisioned, Problem, SessionStatus, Token, Wiped};
use pawl_proto::message::{
    ApprovalStep, Credential, Entitlement, PairingProof, PairingRequest, SessionProof,
};
use pawl_proto::record::DeviceFact;
use pawl_proto::{Channel, DeviceId, Digest, Epoch, Nonce, PcrBank, SessionId};
use pawl_tpm::{Binding, LeaseGrant};

use super::input::{MessageId, RequestId, VaultKey};
use crate::record::Moment;
use crate::record::{Approved, PairingRecord, Revocation};
use crate::telemetry::event::SecurityEvent;

/// Names an effect whose result comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

impl Ticket {
    /// Names what the executor reads at its start, before the core asks for anything.
    pub const START: Self = Self(0);
}

/// Something to do. The executor begins effects in their order and waits for none before it begins the next.
#[derive(Debug)]
pub enum Effect {
    /// From here on no request gets a token, a proof or an assurance. Memory is zeroized before the next effect.
    CloseGate(Problem),
    /// Opens the gate; [`Input::VaultOpened`](super::Input::VaultOpened) tells what the vault held.
    OpenGate(Box<OpenGate>),
    /// Keeps the open gate open under a newer lease.
    RenewGate {
        /// When the lease runs out, on CLOCK_BOOTTIME.
        until: Duration,
        /// The lease.
        lease: Arc<LeaseGrant>,
    },
    /// Drops the tokens outside this entitlement from the vault.
    RestrictGate(Entitlement),
    /// Puts a token into the vault.
    PutToken {
        /// Its name in the configuration.
        name: String,
        /// The token.
        token: Token,
        /// Its audience.
        audience: String,
    },
    /// Tells those who hold something only while the device is entitled how the gate stands.
    TellHolders,
    /// Runs a TPM command. [`TpmCommand::Increment`] is with the TPM's thread before the next effect begins.
    Tpm(Ticket, TpmCommand),
    /// Writes to the disk, after all writes before it.
    Write(Ticket, Write),
    /// Calls the control plane.
    Call(Ticket, Call),
    /// Reads what the host knows; [`Input::Gathered`](super::Input::Gathered) has it.
    Gather(Ticket, Gather),
    /// Reads the disk and the TPM's counter, and changes neither.
    Examine(Ticket),
    /// Salts sessions to the endorsement key of this TPM name and to no other: the control plane is shown this one.
    PinEndorsementKey(Vec<u8>),
    /// Takes the pairing's keys into use, and connects to its broker.
    Connect(Arc<PairingRecord>),
    /// Asks the broker for the subscriptions again.
    Subscribe,
    /// Gives the connection to the broker up.
    Disconnect,
    /// Publishes over the link, now or when it stands again.
    Publish(Parcel),
    /// Acknowledges a message of the broker.
    Acknowledge(MessageId),
    /// Answers a request of the local socket.
    Reply(RequestId, Reply),
    /// Leaves an audit record.
    Record {
        /// The epoch that it is about.
        epoch: Option<Epoch>,
        /// When, on the TPM's clock.
        moment: Option<Moment>,
        /// What happened.
        fact: DeviceFact,
    },
    /// The control plane has the audit records up to this sequence.
    RecordsAcknowledged(u64),
    /// A signed verdict named this time: Unix time, seconds.
    RaiseClock(u64),
    /// Logs a security event.
    Security(SecurityEvent, Option<Epoch>, String),
    /// Tells systemd the state in one line.
    ShowState(String),
}

/// What an open gate holds.
#[derive(Debug)]
pub struct OpenGate {
    /// When the lease runs out, on CLOCK_BOOTTIME.
    pub until: Duration,
    /// The lease.
    pub lease: Arc<LeaseGrant>,
    /// The vault's key.
    pub key: VaultKey,
    /// What the operator grants.
    pub entitlement: Entitlement,
    /// The pairing.
    pub record: Arc<PairingRecord>,
}

/// A command of the TPM.
#[derive(Clone, Debug)]
pub enum TpmCommand {
    /// TPM2_NV_Increment: ends the epoch.
    Increment,
    /// Reads the counter.
    Counter,
    /// TPM2_NV_Certify over the counter, with this qualifying data.
    Certify(Digest),
    /// Unseals the vault's key under a lease, and reads the TPM's clock.
    Unseal(Arc<LeaseGrant>),
    /// Finds the lease for what the PCRs show.
    MatchPcrs(Vec<Arc<LeaseGrant>>),
    /// Compares counter and attestation key with the pairing.
    Check(Arc<PairingRecord>),
    /// Removes the counter.
    Deprovision,
    /// Ends the present epoch, whichever it is.
    EndEpoch,
    /// Defines the counter where the TPM has none, and reads it.
    ProvisionCounter,
    /// Reads endorsement key and attestation key.
    Identity,
    /// TPM2_ActivateCredential: only the TPM that the credential was made for opens it.
    Activate(Credential),
    /// Creates the keys of a pairing.
    CreateKeys(Box<Binding>),
    /// TPM2_Certify over each of these keys, with this qualifying data.
    CertifyKeys(Arc<NewKeys>, Nonce),
    /// Signs a PKCS #10 request (RFC 2986) for the device's id with the link key.
    RequestLink {
        /// The keys.
        keys: Arc<NewKeys>,
        /// The device.
        device: DeviceId,
        /// The epoch of the keys.
        epoch: u64,
    },
    /// Reads the PCRs that every report quotes.
    ReadPcrs,
    /// Reads NvPCRs, without those that are not there or cannot be read.
    ReadNvPcrs(Vec<u32>),
    /// Finds out which of these NV indices the TPM has.
    PresentNvPcrs(Vec<u32>),
    /// TPM2_Quote over the PCRs that every report quotes.
    Quote {
        /// The bank.
        bank: PcrBank,
        /// The qualifying data.
        digest: Digest,
    },
    /// TPM2_NV_Certify over NvPCRs, with this qualifying data, without those that the TPM does not certify.
    CertifyNvPcrs(Vec<u32>, Digest),
}

/// The keys of a pairing that is being created.
pub struct NewKeys(pub pawl_tpm::PairingKeys);

impl fmt::Debug for NewKeys {
    /// Leaves the keys out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKeys")
    }
}

/// What the host knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gather {
    /// For a pairing request: facts about the host, and a fresh random nonce.
    Host,
    /// For a report: the logs, and the audit records that the control plane does not have.
    Logs(LogRange),
}

/// The logs that a report takes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// The report is a whole one: it has the boot log and the facts about the host.
    pub whole: bool,
    /// The bank that is quoted.
    pub bank: PcrBank,
    /// The offset in systemd's measurement log.
    pub measure: u64,
    /// The offset in the IMA log; none if that log is left out.
    pub ima: Option<u64>,
}

/// A write to the disk.
#[derive(Clone, Debug)]
pub enum Write {
    /// A verdict, as it was received.
    Verdict {
        /// Its sequence: an older one does not replace a newer one.
        sequence: u64,
        /// The message.
        message: Vec<u8>,
        /// Whether it has a lease.
        has_lease: bool,
    },
    /// Removes the kept lease: the verdict that bars the device could not be written.
    RemoveLease,
    /// The vault as the open gate has it, sealed.
    Vault,
    /// That the pairing is about to end, without waiting for the disk. Nothing, if the disk has the record of another
    /// pairing.
    RevocationNote(Revocation),
    /// Why the pairing ended. Nothing, if the disk has the record of another pairing.
    Revocation(Revocation),
    /// Unlinks keys, vault, verdicts and leases.
    DestroyKeys,
    /// A receipt, for the epoch that ended.
    Receipt(Epoch, Vec<u8>),
    /// Removes a receipt.
    RemoveReceipt(Epoch),
    /// Drops the record of a dead pairing.
    ForgetPairing,
    /// Allocates the disk space of a pairing.
    Reserve,
    /// Gives that space back.
    Release,
    /// An approval, before anything is done on it.
    Approved(Box<Approved>),
    /// That keys of the approved pairing are about to be created in this epoch.
    BeginKeys(Epoch),
    /// Drops an unfinished pairing.
    DiscardUnfinished,
    /// A granted pairing, beside the old one.
    Stage(Box<Staged>),
    /// Puts the staged pairing in the place of the old one.
    Commit,
}

/// A granted pairing.
#[derive(Clone, Debug)]
pub struct Staged {
    /// Its record.
    pub record: PairingRecord,
    /// Its keys.
    pub keys: Arc<NewKeys>,
    /// The first verdict, as it was received.
    pub verdict: Vec<u8>,
}

/// A call of the control plane.
#[derive(Clone, Debug)]
pub enum Call {
    /// Submits a receipt.
    Receipt(Vec<u8>),
    /// Requests the token of this name.
    Token(String),
    /// Requests a pairing.
    RequestPairing(Box<PairingRequest>),
    /// Opens the session that was offered. Sent again, it asks how the session stands.
    OpenSession(SessionId, Arc<SessionProof>),
    /// Asks how a session stands, and submits an approval or a confirmation.
    Step(SessionId, Box<ApprovalStep>),
    /// Submits the proof of an approved pairing. Sent again as it was, it gets the same grant.
    Prove(SessionId, Arc<PairingProof>),
}

/// Something to publish, and how to know it again when the broker has it.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// What it is.
    pub kind: ParcelKind,
    /// Its encoding.
    pub payload: Vec<u8>,
}

/// What a parcel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParcelKind {
    /// The device's status, retained.
    Status,
    /// Evidence, by its digest.
    Posture(Digest),
    /// The receipt for an epoch.
    Receipt(Epoch),
}

impl ParcelKind {
    pub(crate) fn channel(self) -> Channel {
        match self {
            Self::Status => Channel::Status,
            Self::Posture(_) => Channel::Posture,
            Self::Receipt(_) => Channel::Receipt,
        }
    }
}

/// An answer to a request of the local socket.
#[derive(Clone, Debug)]
pub enum Reply {
    /// It is done, or begun.
    Done,
    /// The epoch was ended.
    Wiped(Wiped),
    /// The counter was removed.
    Deprovisioned(Deprovisioned),
    /// How the session stands, after what the caller submitted.
    Session(Box<SessionStatus>),
    /// The control plane did not answer; the session goes on.
    Unreachable(Problem),
    /// It was refused.
    Refused(Problem),
}
