//! The commands on enrolled devices: orders, entitlements, incidents and records.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use pawl_proto::message::EventKind;
use pawl_proto::{DeviceId, Digest};
use serde::{Deserialize, Serialize};

use super::view::{
    self, Accepted, AccessView, DeviceLine, DeviceRecordView, DeviceView, OrderView, RecordView, SettledView,
    StandingView,
};
use super::{AdminError, Answer, Plane, parse, short};
use crate::bundle::{self, Bundle};
use crate::control_plane::ControlPlane;
use crate::entitlement::{self, AccessChange};
use crate::store::Tx;
use crate::{incident, orders};

/// Returns the routes of enrolled devices: orders, entitlements, incidents and records.
pub(super) fn routes() -> Router<Arc<ControlPlane>> {
    Router::new()
        .route("/v1/devices", get(devices))
        .route("/v1/devices/{device}", get(show))
        .route("/v1/devices/{device}/revoke", post(revoke))
        .route("/v1/devices/{device}/repair", post(repair))
        .route("/v1/devices/{device}/refresh", post(refresh))
        .route("/v1/devices/{device}/suspend", post(suspend))
        .route("/v1/devices/{device}/resume", post(resume))
        .route("/v1/devices/{device}/accept", post(accept))
        .route("/v1/devices/{device}/entitle", post(entitle))
        .route("/v1/devices/{device}/settle", post(settle))
        .route("/v1/devices/{device}/records", get(records))
        .route("/v1/devices/{device}/device-records", get(device_records))
        .route("/v1/devices/{device}/bundle", get(export_bundle))
}

/// The body of commands on the boot state that a device last reported.
#[derive(Debug, Serialize, Deserialize)]
pub struct StateRequest {
    /// The digest of the state that the operator has seen.
    pub state: Digest,
}

/// `POST /v1/devices/{device}/settle`
#[derive(Debug, Serialize, Deserialize)]
pub struct SettleRequest {
    /// The digest of the incidents that the operator has seen.
    pub incidents: Digest,
    /// How they were resolved.
    pub reason: String,
}

/// `POST /v1/devices/{device}/resume`
#[derive(Debug, Serialize, Deserialize)]
pub struct ResumeRequest {
    /// The number of the suspension that the operator has seen.
    pub suspension: u64,
}

/// The body of orders with a reason.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReasonRequest {
    /// Why.
    pub reason: String,
}

/// `POST /v1/devices/{device}/entitle`
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct EntitleRequest {
    /// The scopes to grant in addition.
    pub scopes: Vec<String>,
    /// The audiences to grant in addition.
    pub audiences: Vec<String>,
    /// The scopes to remove.
    pub remove_scopes: Vec<String>,
    /// The audiences to remove.
    pub remove_audiences: Vec<String>,
    /// Whether to remove all scopes and audiences that are not named.
    pub exactly: bool,
}

async fn devices(State(plane): Plane) -> Answer<Vec<DeviceLine>> {
    let devices = plane.store.transaction(|tx| tx.listed_devices()).await?;
    Ok(Json(devices.into_iter().map(|device| view::device_line(&plane, device)).collect()))
}

async fn show(State(plane): Plane, Path(device): Path<String>) -> Answer<DeviceView> {
    let device = parse(&device)?;
    let plane_in_tx = Arc::clone(&plane);
    let view = plane
        .store
        .transaction(move |tx| {
            let found = match tx.device(device)? {
                Some(found) => found,
                None if tx.deleted_at(device)?.is_some() => return Err(AdminError::deleted_device(device)),
                None => return Err(AdminError::unknown_device()),
            };
            Ok(view::device_view(&plane_in_tx, tx, found)?)
        })
        .await?;
    Ok(Json(view))
}

async fn revoke(plane: Plane, device: Path<String>, Json(body): Json<ReasonRequest>) -> Answer<OrderView> {
    order(plane, device, EventKind::Revoke, &body.reason).await
}

async fn repair(plane: Plane, device: Path<String>, Json(body): Json<ReasonRequest>) -> Answer<OrderView> {
    order(plane, device, EventKind::Repair, &body.reason).await
}

async fn refresh(plane: Plane, device: Path<String>) -> Answer<OrderView> {
    order(plane, device, EventKind::Refresh, "requested by an operator").await
}

async fn order(
    State(plane): Plane,
    Path(device): Path<String>,
    kind: EventKind,
    reason: &str,
) -> Answer<OrderView> {
    let ordered = orders::order(&plane, parse(&device)?, kind, short(reason)?).await?;
    Ok(Json(ordered.into()))
}

async fn suspend(
    State(plane): Plane,
    Path(device): Path<String>,
    Json(body): Json<ReasonRequest>,
) -> Answer<StandingView> {
    let device = parse(&device)?;
    let reason = short(&body.reason)?.as_str().to_owned();
    Ok(Json(StandingView::new(device, orders::suspend(&plane, device, reason).await?)))
}

async fn resume(
    State(plane): Plane,
    Path(device): Path<String>,
    Json(ResumeRequest { suspension }): Json<ResumeRequest>,
) -> Answer<StandingView> {
    let device = parse(&device)?;
    Ok(Json(StandingView::new(device, orders::resume(&plane, device, suspension).await?)))
}

async fn accept(
    State(plane): Plane,
    Path(device): Path<String>,
    Json(StateRequest { state }): Json<StateRequest>,
) -> Answer<Accepted> {
    let device = parse(&device)?;
    let (boot_states, new) = orders::accept(&plane, device, state).await?;
    Ok(Json(Accepted { device, state, boot_states, new }))
}

async fn entitle(
    State(plane): Plane,
    Path(device): Path<String>,
    Json(request): Json<EntitleRequest>,
) -> Answer<AccessView> {
    let device = parse(&device)?;
    let change = AccessChange {
        add: entitlement::parse(&request.scopes, &request.audiences)?,
        remove: entitlement::parse(&request.remove_scopes, &request.remove_audiences)?,
        exactly: request.exactly,
    };
    Ok(Json(AccessView::new(device, orders::entitle(&plane, device, change).await?)))
}

async fn settle(
    State(plane): Plane,
    Path(device): Path<String>,
    Json(body): Json<SettleRequest>,
) -> Answer<SettledView> {
    let device = parse(&device)?;
    let reason = short(&body.reason)?.as_str().to_owned();
    let now = plane.clock.now();
    let settled = plane
        .store
        .transaction(move |tx| {
            tx.device(device)?.ok_or_else(AdminError::unknown_device)?;
            Ok::<_, AdminError>(incident::resolve_by_operator(tx, device, body.incidents, reason, now)?)
        })
        .await?;
    Ok(Json(SettledView { device, settled }))
}

async fn records(State(plane): Plane, Path(device): Path<String>) -> Answer<Vec<RecordView>> {
    let device = parse(&device)?;
    let records = read_known(&plane, device, move |tx| Ok(tx.records(device)?)).await?;
    Ok(axum::Json(records.into_iter().map(|(record, link)| RecordView::new(record, &link)).collect()))
}

async fn device_records(State(plane): Plane, Path(device): Path<String>) -> Answer<Vec<DeviceRecordView>> {
    let device = parse(&device)?;
    let records = read_known(&plane, device, move |tx| Ok(tx.device_records(device)?)).await?;
    Ok(axum::Json(records.into_iter().map(DeviceRecordView::from).collect()))
}

async fn export_bundle(State(plane): Plane, Path(device): Path<String>) -> Answer<Bundle> {
    let device = parse(&device)?;
    let plane_in_tx = Arc::clone(&plane);
    let contents =
        read_known(&plane, device, move |tx| Ok(bundle::collect(&plane_in_tx, tx, device)?)).await?;
    let bundle = Bundle::sign(contents, &plane.keys.audit, plane.keys.authority.certificate())
        .map_err(|error| AdminError::new("failed", error))?;
    Ok(axum::Json(bundle))
}

/// Runs a query about a device that is or was enrolled, also one that was deleted.
async fn read_known<T: Send + 'static>(
    plane: &ControlPlane,
    device: DeviceId,
    read: impl FnOnce(&Tx<'_>) -> Result<T, AdminError> + Send + 'static,
) -> Result<T, AdminError> {
    let read = move |tx: &Tx<'_>| {
        if tx.device(device)?.is_none() && tx.deleted_at(device)?.is_none() {
            return Err(AdminError::unknown_device());
        }
        read(tx)
    };
    plane.store.transaction(read).await
}
