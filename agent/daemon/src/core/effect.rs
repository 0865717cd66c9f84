//! The effects of the core: what its executor does.

use std::sync::Arc;
use std::time::Duration;

use pawl_local_api::{Deprovisioned, Problem, SessionStatus, Token, Wiped};
use pawl_proto::message::{
    ApprovalStep, Credential, Entitlement, PairingProof, PairingRequest, SessionProof,
};
use pawl_proto::record::DeviceFact;
use pawl_proto::{DeviceId, Digest, Epoch, Nonce, PcrBank, SessionId};
use pawl_tpm::{Binding, LeaseGrant};

use super::common::{MessageId, NewKeys, ParcelKind, RequestId, Ticket, VaultKey};
use crate::record::Moment;
use crate::record::{Approved, PairingRecord, Revocation};
use crate::telemetry::event::SecurityEvent;

/// One thing to do. The executor begins effects in their order, and does not wait for one before it begins the next.
#[derive(Debug)]
pub enum Effect {
    /// Closes the gate: from now on no request gets a token, a proof or an assurance. The executor zeroizes the gate's memory
    /// before it begins the next effect.
    CloseGate(Problem),
    /// Opens the gate. [`Input::VaultOpened`](super::Input::VaultOpened) brings the tokens of the vault.
    OpenGate(Box<OpenGate>),
    /// Renews an open gate under a newer lease.
    RenewGate {
        /// When the lease expires, on CLOCK_BOOTTIME.
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
    /// Tells processes that wait for the entitlement, and systemd, whether the gate is open.
    TellHolders,
    /// Runs a TPM command. [`TpmCommand::Increment`] is in the queue of the TPM's thread before the next effect begins.
    Tpm(Ticket, TpmCommand),
    /// Writes to the disk. Writes are done in their order.
    Write(Ticket, Write),
    /// Calls the control plane.
    Call(Ticket, Call),
    /// Reads facts and logs of the host. [`Input::Gathered`](super::Input::Gathered) brings them.
    Gather(Ticket, Gather),
    /// Reads the disk and the TPM's counter, and changes neither.
    Examine(Ticket),
    /// Pins the endorsement key with this TPM name, which the control plane is about to verify: the daemon salts sessions to no
    /// other one.
    PinEndorsementKey(Vec<u8>),
    /// Loads the pairing's keys, and connects to its broker.
    Connect(Arc<PairingRecord>),
    /// Asks the broker for the subscriptions again.
    Subscribe,
    /// Closes the connection to the broker.
    Disconnect,
    /// Publishes over the link, now or after the next connection.
    Publish(Parcel),
    /// Acknowledges a message of the broker.
    Acknowledge(MessageId),
    /// Answers a request of the local socket.
    Reply(RequestId, Reply),
    /// Writes an audit record.
    Record {
        /// The epoch that it is about.
        epoch: Option<Epoch>,
        /// When, on the TPM's clock.
        moment: Option<Moment>,
        /// What happened.
        fact: DeviceFact,
    },
    /// Notes that the control plane has the audit records up to this sequence number.
    RecordsAcknowledged(u64),
    /// Raises the floor of the wall clock to the time in a signed verdict: Unix time, seconds.
    RaiseClock(u64),
    /// Logs a security event.
    Security(SecurityEvent, Option<Epoch>, String),
    /// Shows the state to systemd, in one line.
    ShowState(String),
}

/// The contents of the gate that opens.
#[derive(Debug)]
pub struct OpenGate {
    /// When the lease expires, on CLOCK_BOOTTIME.
    pub until: Duration,
    /// The lease.
    pub lease: Arc<LeaseGrant>,
    /// The vault's key.
    pub key: VaultKey,
    /// The operator's grant.
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
    /// TPM2_Unseal of the vault's key under a lease; reads the TPM's clock, too.
    Unseal(Arc<LeaseGrant>),
    /// Finds the lease whose PCR digest fits the PCRs.
    MatchPcrs(Vec<Arc<LeaseGrant>>),
    /// Compares the counter and the attestation key with the pairing.
    Check(Arc<PairingRecord>),
    /// Removes the counter.
    Deprovision,
    /// Increments the counter whatever its value is, and reads it before and after.
    EndEpoch,
    /// Defines the counter if the TPM has none, and reads it.
    ProvisionCounter,
    /// Reads the endorsement key and the attestation key.
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
    /// Reads the NvPCRs that exist and that anybody may read.
    ReadNvPcrs(Vec<u32>),
    /// Lists those of these NV indices that the TPM has.
    PresentNvPcrs(Vec<u32>),
    /// TPM2_Quote over the PCRs that every report quotes.
    Quote {
        /// The bank.
        bank: PcrBank,
        /// The qualifying data.
        digest: Digest,
    },
    /// TPM2_NV_Certify over NvPCRs, with this qualifying data. Leaves out those that the TPM does not certify.
    CertifyNvPcrs(Vec<u32>, Digest),
}

/// What to read of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gather {
    /// For a pairing request: facts about the host, and a fresh random nonce.
    Host,
    /// For a report: the logs, and the audit records that the control plane lacks.
    Logs(LogRange),
}

/// The parts of the logs that a report has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// Whether the report is a full one, with the boot log and the host facts.
    pub whole: bool,
    /// The bank that is quoted.
    pub bank: PcrBank,
    /// Where to begin in systemd's measurement log, in bytes.
    pub measure: u64,
    /// Where to begin in the IMA log, in bytes; none to leave that log out.
    pub ima: Option<u64>,
}

/// A write to the disk.
#[derive(Clone, Debug)]
pub enum Write {
    /// A verdict, as it was received.
    Verdict {
        /// Its sequence number. An older verdict does not replace a newer one.
        sequence: u64,
        /// The message.
        message: Vec<u8>,
        /// Whether it has a lease.
        has_lease: bool,
    },
    /// Removes the stored lease, because a verdict that bars the device could not be written.
    RemoveLease,
    /// The tokens of the open gate, sealed.
    Vault,
    /// A note that the pairing is about to end. The increment does not wait for it. Writes nothing if the disk has the record of
    /// another pairing.
    RevocationNote(Revocation),
    /// Why the pairing ended. Writes nothing if the disk has the record of another pairing.
    Revocation(Revocation),
    /// Unlinks keys, vault, verdicts and leases.
    DestroyKeys,
    /// A receipt, for the epoch that ended.
    Receipt(Epoch, Vec<u8>),
    /// Removes a receipt.
    RemoveReceipt(Epoch),
    /// Removes the record of a pairing that has ended.
    ForgetPairing,
    /// Allocates the disk space of a pairing.
    Reserve,
    /// Frees that space.
    Release,
    /// An approval, written before the daemon acts on it.
    Approved(Box<Approved>),
    /// A note that keys of the approved pairing are about to be created in this epoch.
    BeginKeys(Epoch),
    /// Removes an unfinished pairing.
    DiscardUnfinished,
    /// A granted pairing, written beside the old one.
    Stage(Box<Staged>),
    /// Replaces the old pairing by the staged one.
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
    /// Opens the offered session. The same call again returns the session's state.
    OpenSession(SessionId, Arc<SessionProof>),
    /// Queries a session's state, and submits an approval or a confirmation.
    Step(SessionId, Box<ApprovalStep>),
    /// Submits the proof of an approved pairing. The same proof again returns the same grant.
    Prove(SessionId, Arc<PairingProof>),
}

/// A message to publish, and what identifies it when the broker acknowledges it.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Its kind.
    pub kind: ParcelKind,
    /// Its encoding.
    pub payload: Vec<u8>,
}

/// An answer to a request of the local socket.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The request is done, or its work has begun.
    Done,
    /// The epoch was ended.
    Wiped(Wiped),
    /// The counter was removed.
    Deprovisioned(Deprovisioned),
    /// The session's state, after the caller's submission.
    Session(Box<SessionStatus>),
    /// The control plane did not answer. The session continues.
    Unreachable(Problem),
    /// The request was refused.
    Refused(Problem),
}
