use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use pawl_proto::message::{EventKind, ShortText};
use pawl_proto::{DeviceId, Digest};

use super::view::{self, Accepted, DeviceLine, DeviceView, Enrolled, OrderView, StandingView};
use super::{AdminError, EnrolRequest, ReasonRequest, ResumeRequest, StateRequest};
use crate::control_plane::ControlPlane;
use crate::entitlement::{self, AccessChange};
use crate::orders;
use pawl_verifier::record::Fact;

pub(super) type Plane = State<Arc<ControlPlane>>;
pub(super) type Answer<T> = Result<Json<T>, AdminError>;

/// A file of some thousand hashes.
const BODY: usize = 1024 * 1024;

/// The commands.
pub fn router(plane: Arc<ControlPlane>) -> Router {
    Router::new()
        .route("/v1/devices", get(devices).post(enrol))
        .route("/v1/devices/{device}", get(show))
        .route("/v1/devices/{device}/revoke", post(revoke))
        .route("/v1/devices/{device}/repair", post(repair))
        .route("/v1/devices/{device}/refresh", post(refresh))
        .route("/v1/devices/{device}/suspend", post(suspend))
        .route("/v1/devices/{device}/resume", post(resume))
        .route("/v1/devices/{device}/accept", post(accept))
        .merge(super::entitlements::routes())
        .merge(super::sessions::router())
        .merge(super::records::routes())
        .merge(super::updates::routes())
        .merge(super::incidents::routes())
        .merge(super::policies::routes())
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(plane)
}

async fn enrol(State(plane): Plane, Json(request): Json<EnrolRequest>) -> Answer<Vec<Enrolled>> {
    let mut digests = Vec::new();
    for text in &request.ek_sha256 {
        let bytes = hex::decode(text.trim()).unwrap_or_default();
        let digest = Digest::try_from(bytes.as_slice()).map_err(|_| {
            let message = format!("{text:?} is not the SHA-256 of an endorsement key: 64 hexadecimal digits");
            AdminError::new("malformed", message)
        })?;
        digests.push(digest);
    }
    let label = request.label.as_deref().map(short).transpose()?;
    let change = AccessChange {
        add: entitlement::parse(&request.scopes, &request.audiences)?,
        ..AccessChange::default()
    };
    let (without_certificate, now) = (request.without_certificate, plane.clock.now());
    let plane_in_tx = Arc::clone(&plane);
    let enrolled = plane
        .store
        .transaction(move |tx| {
            let mut enrolled = Vec::new();
            for ek_sha256 in digests {
                let device = DeviceId::from_digest(ek_sha256.0);
                let label = label.as_ref().map(ShortText::as_str);
                let new = tx.enrol(ek_sha256, label, now)?;
                let (ek_sha256, label) = (ek_sha256.to_string(), label.map(str::to_owned));
                let changed = tx.set_without_certificate(device, without_certificate)?;
                if new {
                    let fact = Fact::Enrolled {
                        ek_sha256: ek_sha256.clone(),
                        label: label.clone(),
                        without_certificate: Some(without_certificate),
                    };
                    tx.record(device, now, fact)?;
                } else if changed {
                    let fact = Fact::CertificateRequirement { required: !without_certificate };
                    tx.record(device, now, fact)?;
                }
                let granted = orders::entitle_in(&plane_in_tx, tx, device, &change)?.now;
                enrolled.push(Enrolled { device, ek_sha256, label, without_certificate, granted, new });
            }
            Ok::<_, AdminError>(enrolled)
        })
        .await?;
    plane.outbox.wake();
    Ok(Json(enrolled))
}

async fn devices(State(plane): Plane) -> Answer<Vec<DeviceLine>> {
    let plane_in_tx = Arc::clone(&plane);
    let lines = plane
        .store
        .transaction(move |tx| {
            let devices = tx.devices()?;
            devices.into_iter().map(|device| view::line(&plane_in_tx, tx, device)).collect::<Result<_, _>>()
        })
        .await
        .map_err(|error: crate::store::StoreError| AdminError::from(error))?;
    Ok(Json(lines))
}

async fn show(State(plane): Plane, Path(device): Path<String>) -> Answer<DeviceView> {
    let device = parse(&device)?;
    let plane_in_tx = Arc::clone(&plane);
    let view = plane
        .store
        .transaction(move |tx| {
            let device = tx.device(device)?.ok_or_else(AdminError::unknown_device)?;
            Ok::<_, AdminError>(view::whole(&plane_in_tx, tx, device)?)
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
    order(plane, device, EventKind::Refresh, "asked for by an operator").await
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

pub(super) fn parse(device: &str) -> Result<DeviceId, AdminError> {
    device.parse().map_err(|error| AdminError::new("malformed", error))
}

pub(super) fn short(text: &str) -> Result<ShortText, AdminError> {
    ShortText::new(text).map_err(|error| AdminError::new("malformed", error))
}
