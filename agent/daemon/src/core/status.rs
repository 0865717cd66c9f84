//! What the core tells of itself: to the broker, and for `GET /v1/status`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pawl_local_api::{BrokerStatus, Problem, TokenStatus};
use pawl_proto::codec::Version;
use pawl_proto::message::{DeviceState, Entitlement, Verdict};
use pawl_tpm::LeaseGrant;

use super::common::ParcelKind;
use super::context::Context;
use super::effect::{Effect, Parcel};
use super::pairing::Past;
use crate::record::PairingRecord;

/// How the device stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// The state.
    pub state: DeviceState,
    /// Why no token is given.
    pub problem: Option<Problem>,
    /// The pairing, live or over.
    pub record: Option<PairingRecord>,
    /// What the last verdict grants, while the pairing lives.
    pub entitlement: Option<Entitlement>,
    /// The last verdict.
    pub verdict: Option<Verdict>,
    /// How long it is until the next report.
    pub next_report: Option<Duration>,
    /// The reports since the start.
    pub reports: u64,
    /// The last lease, whether or not it still holds.
    pub lease: Option<Arc<LeaseGrant>>,
    /// How many leases are kept for boot states still to come.
    pub leases_ahead: usize,
    /// The tokens of the configuration.
    pub tokens: Vec<TokenStatus>,
    /// The connection to the broker.
    pub broker: BrokerStatus,
    /// What the device found of its past.
    pub past: Past,
    /// The control plane still lacks a receipt.
    pub receipt_waiting: bool,
    /// The refused messages, by kind.
    pub refused: BTreeMap<String, u64>,
}

/// Publishes the state, for people and dashboards.
pub(super) fn publish_status(cx: &mut Context, record: &PairingRecord, state: DeviceState, online: bool) {
    let status = pawl_proto::message::Status {
        version: Version,
        device: record.device,
        online,
        state,
        epoch: record.epoch,
    };
    match pawl_proto::encode(&status) {
        Ok(payload) => cx.push(Effect::Publish(Parcel { kind: ParcelKind::Status, payload })),
        Err(error) => tracing::error!(%error, "the status is not published"),
    }
}
