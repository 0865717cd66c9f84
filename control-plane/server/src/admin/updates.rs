//! The commands on updates: approve boot states ahead, and withdraw the approvals.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use pawl_evidence::boot_image::BootChange;
use pawl_evidence::eventlog::DatabaseChange;
use pawl_proto::{Digest, PcrValue};
use serde::{Deserialize, Serialize};

use super::AdminError;
use super::view::{PreApprovedView, WithdrawnView};
use super::{Answer, Plane, parse, short};
use crate::control_plane::ControlPlane;
use crate::update::{self, Update, UpdateError};

/// `POST /v1/devices/{device}/pre-approve`
#[derive(Debug, Serialize, Deserialize)]
pub struct PreApproveRequest {
    /// The operator's name for it.
    pub name: String,
    /// What the device will boot.
    pub boot: Option<BootChange>,
    /// Changes of Secure Boot's databases.
    #[serde(default)]
    pub databases: Vec<DatabaseChange>,
    /// What it boots now, against which the computation is verified.
    pub present: Option<BootChange>,
    /// PCR values that the operator gives, of the device's bank, in hexadecimal.
    pub pcrs: BTreeMap<u8, PcrValue>,
    /// The digest of the present boot state that the operator has seen.
    pub state: Option<Digest>,
    /// Whether to only compute the state, without approving it.
    pub dry_run: bool,
}

/// Returns the routes of updates.
pub(super) fn routes() -> Router<Arc<ControlPlane>> {
    Router::new()
        .route("/v1/devices/{device}/pre-approve", post(pre_approve))
        .route("/v1/devices/{device}/withdraw", post(withdraw))
}

async fn pre_approve(
    State(plane): Plane,
    Path(device): Path<String>,
    Json(request): Json<PreApproveRequest>,
) -> Answer<PreApprovedView> {
    let device = parse(&device)?;
    let PreApproveRequest { name, boot, databases, present, pcrs, state, dry_run } = request;
    let update = Update { name: short(&name)?, boot, databases, present, pcrs, state, dry_run };
    let approved = update::pre_approve(&plane, device, update).await?;
    Ok(Json(PreApprovedView::new(device, approved, dry_run)))
}

async fn withdraw(State(plane): Plane, Path(device): Path<String>) -> Answer<WithdrawnView> {
    let device = parse(&device)?;
    Ok(Json(WithdrawnView { device, withdrawn: update::withdraw(&plane, device).await? }))
}

impl From<UpdateError> for AdminError {
    fn from(error: UpdateError) -> Self {
        let code = match &error {
            UpdateError::UnknownDevice => "unknown-device",
            UpdateError::NotPaired => "not-paired",
            UpdateError::NothingReported => "nothing-reported",
            UpdateError::Contraindicated => "contraindicated",
            UpdateError::NoLog => "no-boot-log",
            UpdateError::Unaccounted(_)
            | UpdateError::Unpredictable(_)
            | UpdateError::Log(_)
            | UpdateError::Predict(_)
            | UpdateError::Present(_) => "not-predictable",
            UpdateError::NotInLease(_) | UpdateError::NoState | UpdateError::Bank { .. } => "malformed",
            UpdateError::OtherState { .. } => "other-state",
            UpdateError::Same => "same-state",
            UpdateError::Failed(error) => {
                tracing::error!(%error, "pre-approval failed");
                "failed"
            }
        };
        Self::new(code, error)
    }
}
