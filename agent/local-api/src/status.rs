//! `GET /v1/status`.

use std::collections::BTreeMap;

use pawl_proto::message::{Area, Audience, DeviceState, Finding, Scope, ShortText, Standing, TrustTier};
use pawl_proto::{DeviceId, Epoch, PairingId};
use serde::{Deserialize, Serialize};

use crate::Problem;
use crate::session::SessionStatus;

/// The answer to `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalStatus {
    /// The daemon's version.
    pub version: String,
    /// The device's state.
    pub state: DeviceState,
    /// Why it is in that state and what to do, where there is something to say.
    pub problem: Option<Problem>,
    /// Why the TPM does not answer. The fields that only the TPM can fill are empty then.
    #[serde(default)]
    pub tpm: Option<Problem>,
    /// The device's id.
    pub device: DeviceId,
    /// SHA-256 of the endorsement key's public area, hexadecimal: what an operator enrols.
    pub ek_sha256: String,
    /// The kind of endorsement key: `rsa-2048`, `ecc-p256` or `ecc-p384`.
    pub ek_kind: String,
    /// How many certificates for it the TPM's NV memory holds: its own, and those of its chain.
    pub ek_certificates: u32,
    /// Whether its certificate can be read with owner authorization only: OWNERREAD without AUTHREAD.
    #[serde(default)]
    pub ek_certificate_needs_owner: bool,
    /// The active PCR banks that Pawl knows, as tpm2-tools name them.
    pub pcr_banks: Vec<String>,
    /// The epoch counter's value.
    pub counter: Option<Epoch>,
    /// The pairing on this disk, also after its epoch has ended.
    pub pairing: Option<PairingStatus>,
    /// The last verdict.
    pub verdict: Option<VerdictStatus>,
    /// The lease, and whether the TPM accepts it.
    pub lease: Option<LeaseStatus>,
    /// The configured tokens, by name.
    pub tokens: Vec<TokenStatus>,
    /// The connection to the broker.
    pub broker: BrokerStatus,
    /// Whether a receipt on the disk waits to be delivered.
    pub receipt_waiting: bool,
    /// What the daemon found at its start: whether this TPM and this disk were paired before.
    pub finding: Finding,
    /// The device that the pairing on this disk was made with, where it is another one: a candidate for
    /// [`replaces`](crate::PairRequest::replaces). The disk says so; nothing proves it.
    #[serde(default)]
    pub former: Option<DeviceId>,
    /// The last pairing session, until the daemon stops or the session has led to a pairing.
    pub session: Option<SessionStatus>,
    /// How many messages the daemon refused since its start, by kind.
    pub refused: BTreeMap<String, u64>,
    /// The earliest time that it can be now: the time in the last signed verdict plus the time since. The daemon takes
    /// it for the time where the wall clock is behind it. None before the first verdict.
    #[serde(default)]
    pub time_floor: Option<u64>,
    /// Why the daemon cannot open systemd's measurement log; none if it can, and where there is no log.
    #[serde(default)]
    pub measure_log_problem: Option<String>,
}

/// A pairing, in [`LocalStatus`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairingStatus {
    /// The pairing's id.
    pub id: PairingId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The control plane's name for itself.
    pub control_plane: String,
    /// How the control plane checked the endorsement key.
    pub endorsement: String,
    /// The scopes that the operator grants now; those granted at the start, of a pairing that has ended.
    pub scopes: Vec<Scope>,
    /// The audiences that the operator grants now.
    #[serde(default)]
    pub audiences: Vec<Audience>,
}

/// The last verdict, in [`LocalStatus`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictStatus {
    /// The trust tier.
    pub result: Option<TrustTier>,
    /// The trust tier of each area.
    #[serde(default)]
    pub areas: BTreeMap<Area, TrustTier>,
    /// The operator's decision.
    pub standing: Standing,
    /// The reasons for the trust tier.
    pub reasons: Vec<ShortText>,
    /// When the control plane appraised the evidence.
    pub time: u64,
    /// When the next report is due.
    pub next_report: Option<u64>,
    /// The reports sent since the daemon's start.
    pub reports: u64,
}

/// The lease, in [`LocalStatus`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// When it ends, by the wall clock; the TPM decides by its own clock.
    pub until: u64,
    /// The value of the TPM's clock at which it ends, milliseconds.
    pub clock: u64,
    /// How many more TPM resets it survives.
    pub resets_left: u32,
    /// Whether the TPM accepts it now.
    pub accepted: bool,
    /// The TPM's error where it does not.
    pub tpm_error: Option<String>,
    /// How many leases the daemon keeps for approved boot states that this host has not booted yet.
    #[serde(default)]
    pub ahead: u32,
}

/// A configured token, in [`LocalStatus`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenStatus {
    /// Its name in the configuration.
    pub name: String,
    /// The scopes that the daemon requests for it.
    pub scopes: Vec<String>,
    /// Its audience in the configuration.
    #[serde(default)]
    pub audience: Option<String>,
    /// When the token in the vault expires; none while the vault holds none.
    pub expires_at: Option<u64>,
    /// Why the vault holds none.
    pub error: Option<String>,
}

/// The connection to the broker, in [`LocalStatus`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BrokerStatus {
    /// Whether the daemon is connected.
    pub connected: bool,
    /// The broker's address, `host:port`.
    pub address: Option<String>,
    /// Why the daemon is not connected.
    pub error: Option<String>,
}
