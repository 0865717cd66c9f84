use std::collections::BTreeMap;

use pawl_evidence::measure_log::MeasureLog;
use pawl_proto::message::{Access, DeviceState, Entitlement, HostFacts, HostHealth, Standing, TrustTier};
use pawl_proto::{DeviceId, Digest, PcrValue};
use pawl_verifier::boot_digest;
use pawl_verifier::incident::incidents_digest;
use pawl_verifier::pairing::{Pairing, PairingState};
use serde::{Deserialize, Serialize};

use super::status::is_overdue;
use super::{
    AheadView, DeviceStatus, EventView, IncidentView, LeaseView, PairingView, ReceiptView, ReportView,
    VerdictView,
};
use crate::control_plane::ControlPlane;
use crate::entitlement;
use crate::store::{Device, ListedDevice, Reported, StoreError, Tx, VerdictRow};

/// One line of `devices`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceLine {
    /// The device.
    pub device: DeviceId,
    /// The operator's name for it.
    pub label: Option<String>,
    /// Its status, by what the control plane knows.
    pub status: DeviceStatus,
    /// How its endorsement key was verified at its last pairing.
    pub endorsement: Option<String>,
    /// Whether it may pair without a TPM vendor's certificate.
    pub without_certificate: bool,
    /// When it was retired, Unix seconds; none while it is enrolled.
    pub retired_at: Option<u64>,
    /// Whether it is active or suspended.
    pub standing: Standing,
    /// The scopes and audiences that the operator grants it.
    pub granted: Access,
    /// The state of its newest pairing.
    pub pairing: Option<PairingState>,
    /// The epoch of that pairing.
    pub epoch: Option<u64>,
    /// When the end of that pairing was ordered, Unix seconds.
    pub end_ordered_at: Option<u64>,
    /// When the proof of its end was received, Unix seconds.
    pub ended_at: Option<u64>,
    /// The trust tier of the last verdict on the live pairing.
    pub verdict: Option<TrustTier>,
    /// When the lease of the live pairing ends by the wall clock, Unix seconds. The TPM's clock decides.
    pub lease_until: Option<u64>,
    /// When it last reported.
    pub last_report: Option<u64>,
    /// Whether the next report is later than the interval of the last verdict plus a margin.
    pub overdue: bool,
    /// Whether it is connected, by its last status message; not signed.
    pub online: Option<bool>,
    /// Its state in that message.
    pub state: Option<DeviceState>,
    /// When that message was received.
    pub seen: Option<u64>,
    /// The last host facts; not attested.
    pub host: Option<HostFacts>,
    /// The host's last health; not attested.
    pub health: Option<HostHealth>,
}

/// `show`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields have the names of their parts")]
pub struct DeviceView {
    pub device: DeviceId,
    pub label: Option<String>,
    pub ek_sha256: String,
    pub ek_kind: Option<String>,
    /// How the endorsement key was verified.
    pub endorsement: Option<String>,
    /// Whether it may pair without a TPM vendor's certificate.
    pub without_certificate: bool,
    pub enrolled_at: u64,
    /// Its status, by what the control plane knows.
    pub status: DeviceStatus,
    /// When it was retired; none while it is enrolled.
    pub retired_at: Option<u64>,
    pub standing: Standing,
    pub standing_reason: Option<String>,
    /// The number of the suspension in force, which `resume` names; none while the device may work.
    pub suspension: Option<u64>,
    /// The scopes and audiences that the operator grants it.
    pub granted: Access,
    /// Its entitlement now: the scopes and audiences that its live pairing requested or was granted later, as far as
    /// the operator grants them.
    pub entitlement: Option<Entitlement>,
    /// The device that it replaced.
    pub replaces: Option<DeviceId>,
    /// The device that replaced it.
    pub replaced_by: Option<DeviceId>,
    pub online: Option<bool>,
    pub state: Option<DeviceState>,
    pub seen: Option<u64>,
    /// The newest pairing, even if it has ended.
    pub pairing: Option<PairingView>,
    /// The last verdict on the live pairing.
    pub verdict: Option<VerdictView>,
    /// The lease of the live pairing.
    pub lease: Option<LeaseView>,
    pub last_report: Option<ReportView>,
    /// Whether the next report is later than the interval of the last verdict plus a margin.
    pub overdue: bool,
    pub host: Option<HostFacts>,
    pub health: Option<HostHealth>,
    pub events: Vec<EventView>,
    pub receipts: Vec<ReceiptView>,
    /// The highest epoch, reset count and clock that its TPM has quoted.
    pub highest: Option<HighestView>,
    /// The NvPCRs that its TPM has, of those that systemd's log names.
    #[serde(default)]
    pub nvpcrs: Vec<NvPcrView>,
    /// The boot state that it last reported or asked to be paired in, which `accept` names.
    pub reported_state: Option<ReportedStateView>,
    /// How many boot states are accepted.
    pub boot_states: usize,
    /// The boot states that were approved ahead and that the device has not reached yet.
    pub ahead: Vec<AheadView>,
    /// Signs of clones and rollbacks, oldest first.
    pub incidents: Vec<IncidentView>,
    /// The digest of the open ones, which `settle` names; none if none is open.
    pub open_incidents: Option<Digest>,
}

/// An NvPCR, in [`DeviceView`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NvPcrView {
    /// The handle of its NV index, as policies name it.
    pub index: String,
    /// Its name in systemd's log, which is a claim of the device. Empty if the log does not name it.
    pub name: String,
    /// Whether the device's policy names it. Otherwise only its presence is known.
    pub judged: bool,
}

/// The boot state that a device last reported, in [`DeviceView`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportedStateView {
    /// SHA-256 over the values of the PCRs, in ascending order.
    pub digest: Digest,
    /// Whether it is accepted.
    pub accepted: bool,
    /// The PCRs that leases name.
    pub pcrs: BTreeMap<u8, PcrValue>,
}

/// The highest point that a TPM has quoted, in [`DeviceView`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as in the store")]
pub struct HighestView {
    pub epoch: u64,
    pub reset_count: u32,
    /// Milliseconds.
    pub clock: u64,
}

/// Builds the line of one device.
pub(in crate::admin) fn device_line(plane: &ControlPlane, listed: ListedDevice) -> DeviceLine {
    let ListedDevice { device, granted, pairing } = listed;
    let now = plane.clock.now();
    let state = pairing.as_ref().map(|pairing| pairing.state);
    let (epoch, end_ordered_at, ended_at) = match &pairing {
        Some(pairing) => (Some(pairing.epoch.0), pairing.end_ordered_at, pairing.ended_at),
        None => (None, None, None),
    };
    let (reported, verdict) = pairing.map(|pairing| (pairing.reported, pairing.verdict)).unwrap_or_default();
    let verdict = verdict.filter(|_| state == Some(PairingState::Live));
    DeviceLine {
        status: DeviceStatus::of(&device, state, verdict.as_ref(), now),
        overdue: is_report_overdue(plane, reported.as_ref(), verdict.as_ref()),
        device: device.id,
        label: device.label,
        endorsement: device.endorsement,
        without_certificate: device.without_certificate,
        retired_at: device.retired_at,
        standing: device.standing,
        granted: entitlement::with_own_audience(granted, plane.config.url.as_str()),
        epoch,
        pairing: state,
        end_ordered_at,
        ended_at,
        verdict: verdict.as_ref().and_then(|row| row.verdict.result),
        lease_until: verdict.and_then(|row| row.lease_until),
        last_report: reported.as_ref().map(|reported| reported.at),
        online: device.last_seen.as_ref().map(|seen| seen.online),
        state: device.last_seen.as_ref().map(|seen| seen.state),
        seen: device.last_seen.map(|seen| seen.at),
        health: reported.as_ref().and_then(|reported| reported.health),
        host: reported.map(|reported| reported.host),
    }
}

/// Returns whether the report after the last one is overdue. `verdict` is the last one on the live pairing: without a live
/// pairing no report is expected.
fn is_report_overdue(
    plane: &ControlPlane,
    reported: Option<&Reported>,
    verdict: Option<&VerdictRow>,
) -> bool {
    match (reported, verdict) {
        (Some(reported), Some(row)) => is_overdue(reported.at, row.verdict.interval, plane.clock.now()),
        _ => false,
    }
}

/// Builds the view of one device.
pub(in crate::admin) fn device_view(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    device: Device,
) -> Result<DeviceView, StoreError> {
    let pairing = tx.newest_pairing(device.id)?;
    let live = pairing.as_ref().filter(|pairing| pairing.state == PairingState::Live);
    let appraised = live.map(|pairing| tx.appraised_verdict(pairing.id)).transpose()?.flatten();
    let reported = reported(tx, pairing.as_ref())?;
    let state = pairing.as_ref().map(|pairing| pairing.state);
    let events = tx.events(device.id)?;
    let evidence = pairing.as_ref().and_then(|pairing| Some(pairing.base.as_ref()?.evidence.to_string()));
    Ok(DeviceView {
        status: DeviceStatus::of(&device, state, appraised.as_ref(), plane.clock.now()),
        receipts: tx.receipts(device.id)?.into_iter().map(ReceiptView::from).collect(),
        highest: highest(tx, device.id)?,
        nvpcrs: nvpcrs(plane, device.id, pairing.as_ref()),
        reported_state: reported_state(tx, device.id)?,
        boot_states: tx.boot_states(device.id)?.len(),
        ahead: AheadView::all(tx, device.id, appraised.as_ref())?,
        incidents: tx.incidents(device.id)?.into_iter().map(IncidentView::from).collect(),
        open_incidents: incidents_digest(&tx.open_incidents(device.id)?),
        device: device.id,
        label: device.label,
        ek_sha256: device.ek_sha256.to_string(),
        granted: entitlement::granted(plane, tx, device.id)?,
        entitlement: live
            .map(|pairing| entitlement::entitlement(plane, tx, pairing, device.standing))
            .transpose()?,
        ek_kind: device.ek_kind,
        endorsement: device.endorsement,
        without_certificate: device.without_certificate,
        enrolled_at: device.enrolled_at,
        overdue: is_report_overdue(plane, reported.as_ref(), appraised.as_ref()),
        retired_at: device.retired_at,
        standing: device.standing,
        standing_reason: device.standing_reason,
        suspension: (device.standing == Standing::Suspended).then_some(device.suspensions),
        replaces: device.replaces,
        replaced_by: device.replaced_by,
        online: device.last_seen.as_ref().map(|seen| seen.online),
        state: device.last_seen.as_ref().map(|seen| seen.state),
        seen: device.last_seen.map(|seen| seen.at),
        pairing: pairing.map(|pairing| PairingView::new(pairing, &events)),
        events: events.into_iter().map(EventView::from).collect(),
        lease: appraised.as_ref().and_then(LeaseView::of),
        verdict: appraised.map(VerdictView::from),
        host: reported.as_ref().map(|reported| reported.host.clone()),
        health: reported.as_ref().and_then(|reported| reported.health),
        last_report: reported.map(|reported| ReportView {
            time: reported.at,
            bytes: reported.bytes,
            evidence_sha256: evidence,
            whole: reported.whole,
            reports: reported.count,
        }),
    })
}

fn nvpcrs(plane: &ControlPlane, device: DeviceId, pairing: Option<&Pairing>) -> Vec<NvPcrView> {
    let Some(base) = pairing.and_then(|pairing| pairing.base.as_ref()) else { return Vec::new() };
    let log = base.measured.as_ref().and_then(|measured| MeasureLog::parse(measured.log()).ok());
    let mut names = log.unwrap_or_default().nvpcr_names();
    let judged = plane.policies.of(device).map(|policy| policy.nvpcrs()).unwrap_or_default();
    let view = |index: &u32| NvPcrView {
        index: format!("{index:#x}"),
        name: names.remove(index).unwrap_or_default(),
        judged: judged.contains(index),
    };
    base.nvpcrs.iter().map(view).collect()
}

fn reported_state(tx: &Tx<'_>, device: DeviceId) -> Result<Option<ReportedStateView>, StoreError> {
    let Some(pcrs) = tx.reported_state(device)? else { return Ok(None) };
    let accepted = tx.boot_states(device)?.iter().any(|state| state.pcrs == pcrs);
    Ok(Some(ReportedStateView { digest: boot_digest(&pcrs), accepted, pcrs }))
}

fn reported(tx: &Tx<'_>, pairing: Option<&Pairing>) -> Result<Option<Reported>, StoreError> {
    pairing.map(|pairing| tx.reported(pairing.id)).transpose().map(Option::flatten)
}

fn highest(tx: &Tx<'_>, device: DeviceId) -> Result<Option<HighestView>, StoreError> {
    Ok(tx.high_water(device)?.map(|highest| HighestView {
        epoch: highest.epoch,
        reset_count: highest.reset_count,
        clock: highest.clock_ms,
    }))
}
