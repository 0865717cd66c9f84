//! Enrolment, and the list of pending devices.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use pawl_proto::{DeviceId, Digest};
use pawl_verifier::record::Fact;
use serde::{Deserialize, Serialize};

use super::view::{Enrolled, PendingView};
use super::{AdminError, Answer, Plane, label};
use crate::control_plane::ControlPlane;
use crate::entitlement::{self, AccessChange};
use crate::label::Label;
use crate::lookup;
use crate::orders;
use crate::store::Tx;

/// Returns the routes of enrolment.
pub(super) fn routes() -> Router<Arc<ControlPlane>> {
    Router::new().route("/v1/devices", post(enrol)).route("/v1/pending", get(pending))
}

/// `POST /v1/devices`
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// SHA-256 of endorsement keys, hexadecimal.
    pub ek_sha256: Vec<String>,
    /// Pending devices, each by its id or a prefix of it.
    #[serde(default)]
    pub pending: Vec<String>,
    /// The operator's name for them.
    pub label: Option<String>,
    /// Whether they may pair without a TPM vendor's certificate.
    #[serde(default)]
    pub without_certificate: bool,
    /// The scopes to grant in addition.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The audiences to grant in addition.
    #[serde(default)]
    pub audiences: Vec<String>,
}

/// What an operator sets for the devices that are enrolled together.
struct Terms {
    label: Option<Label>,
    without_certificate: bool,
    change: AccessChange,
}

async fn enrol(State(plane): Plane, Json(request): Json<EnrolRequest>) -> Answer<Vec<Enrolled>> {
    let digests = request.ek_sha256.iter().map(|text| digest(text)).collect::<Result<Vec<_>, _>>()?;
    let terms = Terms {
        label: request.label.as_deref().map(label).transpose()?,
        without_certificate: request.without_certificate,
        change: AccessChange {
            add: entitlement::parse(&request.scopes, &request.audiences)?,
            ..AccessChange::default()
        },
    };
    let (plane_in_tx, names) = (Arc::clone(&plane), request.pending);
    let enrolled = plane
        .store
        .transaction(move |tx| {
            let mut digests = digests;
            for name in &names {
                digests.push(lookup::find_pending(tx, name)?.ek_sha256);
            }
            let enrol = |ek_sha256| enrol_in(&plane_in_tx, tx, ek_sha256, &terms);
            digests.into_iter().map(enrol).collect::<Result<Vec<_>, AdminError>>()
        })
        .await?;
    plane.outbox.wake();
    Ok(Json(enrolled))
}

fn digest(text: &str) -> Result<Digest, AdminError> {
    let bytes = hex::decode(text.trim()).unwrap_or_default();
    Digest::try_from(bytes.as_slice()).map_err(|_| {
        let message =
            format!("{text:?} is not the SHA-256 of an endorsement key: give 64 hexadecimal digits");
        AdminError::new("malformed", message)
    })
}

fn enrol_in(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    ek_sha256: Digest,
    terms: &Terms,
) -> Result<Enrolled, AdminError> {
    let Terms { label, without_certificate, change } = terms;
    let (device, now) = (DeviceId::from_digest(ek_sha256.0), plane.clock.now());
    let label = label.as_ref().map(Label::as_str);
    let new = tx.enrol(ek_sha256, label, now)?;
    let (ek_sha256, label) = (ek_sha256.to_string(), label.map(str::to_owned));
    let changed = tx.set_without_certificate(device, *without_certificate)?;
    if new {
        let fact = Fact::Enrolled {
            ek_sha256: ek_sha256.clone(),
            label: label.clone(),
            without_certificate: Some(*without_certificate),
        };
        tx.record(device, now, fact)?;
    } else if changed {
        tx.record(device, now, Fact::CertificateRequirement { required: !without_certificate })?;
    }
    let granted = orders::entitle_in(plane, tx, device, change)?.now;
    Ok(Enrolled { device, ek_sha256, label, without_certificate: *without_certificate, granted, new })
}

async fn pending(State(plane): Plane) -> Answer<Vec<PendingView>> {
    let pending = plane.store.transaction(|tx| tx.pending_devices()).await?;
    Ok(Json(pending.into_iter().map(PendingView::from).collect()))
}
