//! What the core has done for it.

use std::sync::Arc;
use std::time::Duration;

use pawl_proto::local::{Deprovisioned, PairRequest, Problem, SessionStage, Token, Wiped};
use pawl_proto::message::Entitlement;
use pawl_proto::record::DeviceFact;
use pawl_proto::{Channel, Digest, Epoch, Nonce};
use pawl_tpm::LeaseGrant;

use super::input::{MessageId, RequestId, VaultKey};
use crate::audit::Moment;
use crate::posture::Acknowledged;
use crate::store::{Approved, PairingRecord, Revocation};
use crate::telemetry::event::SecurityEvent;

/// Names an effect whose result comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

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
    /// Makes a report.
    Report {
        /// Names the result.
        ticket: Ticket,
        /// The pairing that reports.
        record: Arc<PairingRecord>,
        /// The nonce.
        nonce: Nonce,
        /// The handles of the NvPCRs that it certifies.
        nvpcrs: Vec<u32>,
        /// What the report builds on.
        base: Option<Acknowledged>,
    },
    /// Reads the disk and the TPM's counter.
    Examine,
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
    /// Opens a session for a pairing.
    OpenSession {
        /// Names the result.
        ticket: Ticket,
        /// What is asked for.
        request: PairRequest,
        /// Somebody is at the device, who can show a code or approve.
        attended: bool,
    },
    /// Shows the session of a kept approval.
    ResumeSession(Ticket, Box<Approved>),
    /// Has an open session ask the control plane now.
    PollSession(Ticket),
    /// Aborts the steps of a session that still run, and shows its caller why no pairing was made.
    FailSession(Ticket, Problem),
    /// Shows how far an approved session is.
    ShowStage(Ticket, SessionStage),
    /// Makes the pairing that was approved, in a new epoch.
    MakePairing {
        /// Names the session and the result.
        ticket: Ticket,
        /// The approval.
        approved: Box<Approved>,
        /// An earlier process may have made keys in the present epoch, which then has to end first.
        ends_epoch: bool,
    },
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
    /// That the pairing is about to end, without waiting for the disk.
    RevocationNote(Revocation),
    /// Why the pairing ended.
    Revocation(Revocation),
    /// Unlinks keys, vault, verdicts and leases.
    DestroyKeys,
    /// A receipt, for the epoch that ended.
    Receipt(Epoch, Vec<u8>),
    /// Removes a receipt.
    RemoveReceipt(Epoch),
    /// Drops the record of a dead pairing.
    ForgetPairing,
    /// An approval, before anything is done on it.
    Approved(Box<Approved>),
    /// Drops an unfinished pairing.
    DiscardUnfinished,
}

/// A call of the control plane.
#[derive(Clone, Debug)]
pub enum Call {
    /// Hands in a receipt.
    Receipt(Vec<u8>),
    /// Requests the token of this name.
    Token(String),
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
    /// It was refused.
    Refused(Problem),
}
