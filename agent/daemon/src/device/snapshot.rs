//! What the state machine tells of itself, for `GET /v1/status`.

use pawl_proto::local::{PairingStatus, SessionStage, SessionStatus, VerdictStatus};
use pawl_proto::message::{Entitlement, Verdict};

use crate::clock::WallClock;
use crate::core::{Core, Status};
use crate::store::PairingRecord;

/// The state machine's part of the status; the TPM's part is added by the call that shows it.
pub(crate) struct Snapshot {
    pub(crate) status: Status,
    pub(crate) pairing: Option<PairingStatus>,
    pub(crate) verdict: Option<VerdictStatus>,
    pub(crate) session: Option<SessionStatus>,
}

impl Snapshot {
    /// Returns how the device stands.
    pub(super) fn of(core: &Core, clock: &WallClock) -> Self {
        let status = core.status();
        Self {
            pairing: status.record.as_ref().map(|record| pairing(record, status.entitlement.as_ref())),
            verdict: status.verdict.as_ref().map(|last| verdict(last, &status, clock)),
            session: core.session().filter(|session| session.stage != SessionStage::Done),
            status,
        }
    }
}

fn verdict(verdict: &Verdict, status: &Status, clock: &WallClock) -> VerdictStatus {
    VerdictStatus {
        result: verdict.result,
        standing: verdict.entitlement.standing,
        areas: verdict.areas.clone(),
        reasons: verdict.reasons.clone(),
        time: verdict.time,
        next_report: status.next_report.map(|ahead| clock.unix_in(ahead)),
        reports: status.reports,
    }
}

/// `entitlement` is that of the last verdict, while the pairing lives.
fn pairing(record: &PairingRecord, entitlement: Option<&Entitlement>) -> PairingStatus {
    PairingStatus {
        id: record.pairing,
        epoch: record.epoch,
        control_plane: record.control_plane.to_string(),
        endorsement: record.endorsement.to_string(),
        scopes: entitlement.map_or(&record.scopes, |granted| &granted.scopes).clone(),
        audiences: entitlement.map(|granted| granted.audiences.clone()).unwrap_or_default(),
    }
}
