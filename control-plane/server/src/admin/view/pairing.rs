//! The parts of [`DeviceView`](super::DeviceView) about pairings, their verdicts and events, and incidents.

use std::collections::BTreeMap;

use pawl_proto::message::{Area, Audience, Cause, EventKind, Scope, Standing, TrustTier};
use pawl_proto::{DeviceId, Digest, EventId, PairingId, SessionId};
use pawl_verifier::incident::{Incident, IncidentKind, remedy};
use pawl_verifier::pairing::{Pairing, PairingState};
use serde::{Deserialize, Serialize};

use crate::store::{EventRow, ReceiptRow, VerdictRow};

/// A pairing, in [`DeviceView`](super::DeviceView).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as in the store")]
pub struct PairingView {
    pub id: PairingId,
    pub epoch: u64,
    pub state: PairingState,
    pub paired_at: u64,
    /// When its end was last ordered.
    pub end_ordered_at: Option<u64>,
    /// When the proof of its end was received.
    pub ended_at: Option<u64>,
    /// The scopes that it requested, and those that were granted to it later.
    pub scopes: Vec<Scope>,
    /// The audiences that it requested, and those that were granted to it later, beside the control plane's own URL.
    pub audiences: Vec<Audience>,
}

/// The last verdict with an attestation result, in [`DeviceView`](super::DeviceView).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as in the message")]
pub struct VerdictView {
    pub result: Option<TrustTier>,
    /// The trust tier of each area.
    pub areas: BTreeMap<Area, TrustTier>,
    pub standing: Standing,
    pub reasons: Vec<String>,
    /// SHA-256 of the policy by which it was appraised; none if exact states were compared.
    pub policy: Option<Digest>,
    pub time: u64,
    pub sequence: u64,
}

/// The lease of that verdict, in [`DeviceView`](super::DeviceView).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaseView {
    /// When it ends by the wall clock, Unix seconds. The TPM's clock decides.
    pub until: u64,
    /// The TPM's clock at which it ends, milliseconds.
    pub clock: u64,
    /// The highest reset count of the TPM at which it is valid.
    pub reset_count: u32,
}

/// The last report, in [`DeviceView`](super::DeviceView).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as in the store")]
pub struct ReportView {
    pub time: u64,
    pub bytes: u64,
    pub evidence_sha256: Option<String>,
    pub whole: bool,
    /// How many reports were accepted in this pairing.
    pub reports: u64,
}

impl PairingView {
    pub(super) fn new(pairing: Pairing, events: &[EventRow]) -> Self {
        let ends = |event: &&EventRow| event.epoch == pairing.epoch && event.kind != EventKind::Refresh;
        Self {
            end_ordered_at: events.iter().rfind(ends).map(|event| event.time),
            id: pairing.id,
            epoch: pairing.epoch.0,
            state: pairing.state,
            paired_at: pairing.paired_at,
            ended_at: pairing.ended_at,
            scopes: pairing.scopes,
            audiences: pairing.audiences,
        }
    }
}

impl From<VerdictRow> for VerdictView {
    fn from(row: VerdictRow) -> Self {
        Self {
            result: row.verdict.result,
            areas: row.verdict.areas.clone(),
            policy: row.verdict.policy,
            standing: row.verdict.entitlement.standing,
            reasons: row.verdict.reasons.iter().map(|reason| reason.as_str().to_owned()).collect(),
            time: row.verdict.time,
            sequence: row.verdict.sequence,
        }
    }
}

impl LeaseView {
    pub(super) fn of(row: &VerdictRow) -> Option<Self> {
        let lease = row.verdict.lease.as_ref()?;
        Some(Self { until: row.lease_until?, clock: lease.clock, reset_count: lease.reset_count })
    }
}

/// An order, in [`DeviceView`](super::DeviceView).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as in the store")]
pub struct EventView {
    pub id: EventId,
    pub kind: EventKind,
    pub epoch: u64,
    pub sequence: u64,
    pub time: u64,
    pub reason: String,
    /// The approval session that ordered it; none when an operator did.
    pub session: Option<SessionId>,
    pub published_at_ms: Option<u64>,
    pub acknowledged_at_ms: Option<u64>,
    pub settled: bool,
}

/// A receipt, in [`DeviceView`](super::DeviceView).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as in the message")]
pub struct ReceiptView {
    pub ended: u64,
    pub epoch: u64,
    pub event: Option<EventId>,
    pub cause: Cause,
    pub reason: String,
    /// Always true: only verified receipts are stored.
    pub verified: bool,
    pub received_at_ms: u64,
}

impl From<EventRow> for EventView {
    fn from(row: EventRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            epoch: row.epoch.0,
            sequence: row.sequence,
            time: row.time,
            reason: row.reason,
            session: row.session,
            published_at_ms: row.published_at_ms,
            acknowledged_at_ms: row.acknowledged_at_ms,
            settled: row.settled,
        }
    }
}

impl From<ReceiptRow> for ReceiptView {
    fn from(row: ReceiptRow) -> Self {
        Self {
            ended: row.receipt.ended.0,
            epoch: row.receipt.epoch.0,
            event: row.receipt.event,
            cause: row.receipt.cause,
            reason: row.receipt.reason.as_str().to_owned(),
            verified: true,
            received_at_ms: row.received_at_ms,
        }
    }
}

/// A sign of a clone or a rollback, in [`super::DeviceView`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentView {
    /// Its kind.
    pub kind: IncidentKind,
    /// The other device that it is about.
    pub other: Option<DeviceId>,
    /// What the control plane saw.
    pub detail: String,
    /// When it was first seen.
    pub first_at: u64,
    /// When it was last seen.
    pub last_at: u64,
    /// How often it was seen.
    pub times: u64,
    /// What to do about it; none once it is resolved.
    pub to_do: Option<String>,
    /// When it was resolved.
    pub settled_at: Option<u64>,
    /// How it was resolved.
    pub settled_by: Option<String>,
}

/// `settle`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettledView {
    /// The device.
    pub device: DeviceId,
    /// How many incidents were open.
    pub settled: usize,
}

impl From<Incident> for IncidentView {
    fn from(incident: Incident) -> Self {
        let to_do = incident.settled.is_none().then(|| remedy(incident.kind).to_owned());
        let (settled_at, settled_by) = incident.settled.unzip();
        Self {
            kind: incident.kind,
            other: incident.other,
            detail: incident.detail,
            first_at: incident.first_at,
            last_at: incident.last_at,
            times: incident.times,
            to_do,
            settled_at,
            settled_by,
        }
    }
}
