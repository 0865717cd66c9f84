//! What the state machine tells of itself, for `GET /v1/status`.

use std::collections::BTreeMap;
use std::sync::Arc;

use pawl_proto::local::{
    BrokerStatus, PairingStatus, Problem, SessionStage, SessionStatus, TokenStatus, VerdictStatus,
};
use pawl_proto::message::{DeviceState, Entitlement, Verdict};
use pawl_tpm::LeaseGrant;
use tokio::time::Instant;

use super::lease::Leases;
use super::paired::Paired;
use super::{Device, Phase};
use crate::pairing::{Past, Progress};
use crate::store::PairingRecord;

/// The state machine's part of the status; the TPM's part is asked for by whoever shows it.
pub(crate) struct Snapshot {
    pub(crate) state: DeviceState,
    pub(crate) problem: Option<Problem>,
    pub(crate) pairing: Option<PairingStatus>,
    pub(crate) verdict: Option<VerdictStatus>,
    /// The last lease, whether or not it still holds.
    pub(crate) grant: Option<Arc<LeaseGrant>>,
    /// How many leases are kept for boot states still to come.
    pub(crate) leases_ahead: usize,
    pub(crate) tokens: Vec<TokenStatus>,
    pub(crate) broker: BrokerStatus,
    pub(crate) receipt_waiting: bool,
    pub(crate) past: Past,
    pub(crate) session: Option<SessionStatus>,
    pub(crate) refused: BTreeMap<String, u64>,
}

impl Device {
    /// How the device stands.
    pub(super) fn snapshot(&self) -> Snapshot {
        let (paired, record) = match &self.phase {
            Phase::Paired(paired) => (Some(paired.as_ref()), Some(paired.record().as_ref())),
            Phase::Revoked(revoked) => (None, Some(revoked.record())),
            Phase::Idle(idle) => (None, idle.record()),
            Phase::Pairing(_) => (None, None),
        };
        Snapshot {
            state: self.state(),
            problem: self.shared.gate.problem(),
            pairing: record.map(|record| pairing_status(record, paired.and_then(Paired::entitlement))),
            verdict: paired
                .and_then(|paired| paired.verdict.as_ref().map(|v| self.verdict_status(paired, v))),
            grant: paired.and_then(Paired::leases).map(Leases::present).cloned(),
            leases_ahead: paired.and_then(Paired::leases).map_or(0, Leases::ahead),
            tokens: paired.map(|paired| paired.token_status(&self.shared)).unwrap_or_default(),
            broker: paired.map(|paired| paired.connection.status().clone()).unwrap_or_default(),
            receipt_waiting: self.shared.store.receipts().is_ok_and(|receipts| !receipts.is_empty()),
            past: self.past.clone(),
            session: self
                .progress
                .as_ref()
                .map(Progress::status)
                .filter(|status| status.stage != SessionStage::Done),
            refused: self.refused.counts(),
        }
    }

    fn verdict_status(&self, paired: &Paired, verdict: &Verdict) -> VerdictStatus {
        let in_future =
            |due: Instant| self.shared.clock.unix_in(due.saturating_duration_since(Instant::now()));
        VerdictStatus {
            result: verdict.result,
            standing: verdict.entitlement.standing,
            areas: verdict.areas.clone(),
            reasons: verdict.reasons.clone(),
            time: verdict.time,
            next_report: paired.reporter.due().map(in_future),
            reports: paired.reporter.count(),
        }
    }
}

/// `entitlement` is that of the last verdict, while the pairing lives.
fn pairing_status(record: &PairingRecord, entitlement: Option<&Entitlement>) -> PairingStatus {
    PairingStatus {
        id: record.pairing,
        epoch: record.epoch,
        control_plane: record.control_plane.to_string(),
        endorsement: record.endorsement.to_string(),
        scopes: entitlement.map_or(&record.scopes, |granted| &granted.scopes).clone(),
        audiences: entitlement.map(|granted| granted.audiences.clone()).unwrap_or_default(),
    }
}
