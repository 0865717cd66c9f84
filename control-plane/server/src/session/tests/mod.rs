mod approvals;
mod bindings;
mod life;
mod replacement;

use std::sync::Arc;

use pawl_proto::message::{PairingApproved, PairingRequest, RefusalCode, Waiting};
use pawl_proto::{PairingId, SessionId};

use super::*;
use crate::control_plane::ControlPlane;
use crate::pairing;
use crate::refusal::RequestError;
use crate::store::ChainError;
use crate::testing::{Approver, Device, OpenedSession, Rig};
use pawl_verifier::Refusal;
use pawl_verifier::pairing::PairingState;
use pawl_verifier::record::Fact;
use pawl_verifier::session::ApprovalSession;

/// A paired device whose next pairing these persons must approve.
struct Stage {
    rig: Rig,
    persons: Vec<Approver>,
    device: Device,
}

impl Stage {
    async fn new(policy: &str, names: &[&str]) -> Self {
        let (rig, persons) = Rig::approved_by(policy, names);
        let device = paired(&rig.plane).await;
        Self { rig, persons, device }
    }

    fn plane(&self) -> &Arc<ControlPlane> {
        &self.rig.plane
    }

    fn request(&self) -> PairingRequest {
        self.device.request()
    }

    async fn ask(&mut self) -> (OpenedSession, Waiting) {
        let request = self.request();
        self.device.ask_persons(&self.rig.plane, request).await
    }

    async fn pairing(&self) -> PairingState {
        state_of(self.plane(), self.device.pairing.unwrap()).await
    }
}

async fn paired(plane: &Arc<ControlPlane>) -> Device {
    let mut device = Device::enrolled(plane).await;
    device.pair(plane).await.unwrap();
    device
}

async fn state_of(plane: &Arc<ControlPlane>, pairing: PairingId) -> PairingState {
    plane.store.transaction(move |tx| tx.pairing(pairing)).await.unwrap().unwrap().state
}

async fn session(plane: &Arc<ControlPlane>, id: SessionId) -> ApprovalSession {
    plane.store.transaction(move |tx| tx.session(id)).await.unwrap().unwrap()
}

/// Returns the binding that failed in the session's last refused approval.
async fn last_binding(plane: &Arc<ControlPlane>, id: SessionId) -> Option<Binding> {
    session(plane, id).await.refusals.last().map(|refused| refused.binding)
}

fn refused<T: std::fmt::Debug>(result: Result<T, RequestError>) -> Refusal {
    match result {
        Err(RequestError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

async fn facts(plane: &Arc<ControlPlane>, device: &Device) -> Vec<Fact> {
    let id = device.id();
    let records = plane.store.transaction(move |tx| tx.records(id)).await;
    let records = records.unwrap_or_else(|error: ChainError| panic!("{error}"));
    records.into_iter().map(|(record, _)| record.fact).collect()
}
