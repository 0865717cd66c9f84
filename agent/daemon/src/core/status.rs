//! The status of the core, for the broker and for `GET /v1/status`.

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

/// The status of the device.
#[derive(Clone, Debug)]
pub struct Status {
    /// The state.
    pub state: DeviceState,
    /// Why the device serves no tokens.
    pub problem: Option<Problem>,
    /// The record of the pairing, live or ended.
    pub record: Option<PairingRecord>,
    /// The entitlement of the last verdict; none without a live pairing.
    pub entitlement: Option<Entitlement>,
    /// The last verdict.
    pub verdict: Option<Verdict>,
    /// The time until the next report.
    pub next_report: Option<Duration>,
    /// The number of reports since the start.
    pub reports: u64,
    /// The last lease, valid or not.
    pub lease: Option<Arc<LeaseGrant>>,
    /// The number of leases for future boot states.
    pub leases_ahead: usize,
    /// The tokens of the configuration.
    pub tokens: Vec<TokenStatus>,
    /// The connection to the broker.
    pub broker: BrokerStatus,
    /// What the disk and the TPM show about earlier pairings.
    pub past: Past,
    /// Whether the control plane lacks a receipt.
    pub receipt_waiting: bool,
    /// The number of refused messages, by kind.
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
        Err(error) => tracing::error!(%error, "cannot publish the status"),
    }
}
