//! The commands on policies: explain a device's appraisal, and learn a policy from its last evidence.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use pawl_evidence::appraise::NvPcrs;
use pawl_evidence::appraise::policy::Learnt;
use pawl_evidence::attest::{VerifiedNvPcr, VerifiedQuote};
use pawl_evidence::ima::IMA_PCR;
use pawl_proto::{DeviceId, Digest};
use serde::Deserialize;

use super::AdminError;
use super::view::{ExplanationView, IncidentView, LearntView};
use super::{Answer, Plane, parse};
use crate::control_plane::ControlPlane;
use crate::off_runtime::off_runtime;
use crate::orders::OrderError;
use crate::policy::{heading, render};
use crate::store::{Device, StoreError, Tx};
use pawl_verifier::AcceptedState;
use pawl_verifier::LeasePcrs;
use pawl_verifier::boot_digest;
use pawl_verifier::lease::LeasePolicy;
use pawl_verifier::pairing::Pairing;
use pawl_verifier::report::{AppraisalInput, KeptEvidence, appraise, quoted_values};

/// Returns the routes of policies.
pub(super) fn routes() -> Router<Arc<ControlPlane>> {
    Router::new()
        .route("/v1/devices/{device}/explanation", get(explain))
        .route("/v1/devices/{device}/learnt-policy", get(learn))
}

/// The last evidence of a device, and the stored state that its appraisal uses.
struct LastEvidence {
    device: Device,
    kept: KeptEvidence,
    quote: VerifiedQuote,
    nvpcrs: Vec<VerifiedNvPcr>,
    /// The PCRs that its leases name.
    lease_pcrs: LeasePcrs,
    boot_log: Option<Vec<u8>>,
    accepted: Vec<AcceptedState>,
    incidents: Vec<IncidentView>,
}

impl LastEvidence {
    /// Returns the digest of its boot state; none if a PCR that leases name was not quoted.
    fn state(&self) -> Option<Digest> {
        self.lease_pcrs.state(&quoted_values(self.quote.pcrs())).map(|state| boot_digest(&state))
    }
}

/// Appraises the last evidence of a device again, by the policy in force.
async fn explain(State(plane): Plane, Path(device): Path<String>) -> Answer<ExplanationView> {
    let last = load_evidence(&plane, parse(&device)?).await?;
    let policy = plane.policies.of(last.device.id);
    off_the_runtime(move || {
        let input = AppraisalInput {
            policy: policy.as_deref(),
            quote: &last.quote,
            lease_pcrs: &last.lease_pcrs,
            epoch: last.kept.epoch,
            age: last.kept.age,
            boot_log: last.boot_log.as_deref(),
            measure_log: last.kept.measure_log(),
            measure_log_cut: last.kept.is_measure_log_cut(),
            measure_log_behind: false,
            nvpcrs: match &policy {
                Some(policy) if !policy.asks_only(last.kept.nvpcrs_asked()) => NvPcrs::NotAsked,
                _ => NvPcrs::Certified(&last.nvpcrs),
            },
            ima: last.kept.ima_log(policy.as_ref().and_then(|policy| policy.ima.as_ref())),
        };
        let state = last.state();
        // The control plane compared the TPM's time with its history when the evidence arrived; contradictions are
        // incidents.
        let appraisal = appraise(&input, last.accepted, None);
        let mut view = ExplanationView::new(last.device.id, &input, last.kept.at, &appraisal);
        view.state = state;
        view.incidents = last.incidents;
        Ok(Json(view))
    })
    .await
}

#[derive(Deserialize)]
struct StateQuery {
    /// The digest of the boot state that the operator has seen.
    state: Option<Digest>,
}

async fn learn(
    State(plane): Plane,
    Path(device): Path<String>,
    Query(StateQuery { state: seen }): Query<StateQuery>,
) -> Answer<LearntView> {
    let last = load_evidence(&plane, parse(&device)?).await?;
    let state = last.state();
    match (seen, state) {
        (Some(_), None) => return Err(OrderError::NothingReported.into()),
        (Some(seen), Some(reported)) if seen != reported => {
            return Err(OrderError::OtherState { seen, reported }.into());
        }
        _ => {}
    }
    off_the_runtime(move || {
        let Some(log) = &last.boot_log else {
            let message = "the device sent no boot event log, from which a policy is learnt; \
                           write `boot-log.required = false` and accept its state instead";
            return Err(AdminError::new("no-boot-log", message));
        };
        let selection = last.lease_pcrs.selection();
        let learnt = Learnt::from_boot(log, last.kept.measure_log(), last.quote.pcrs(), &selection)
            .map_err(|error| AdminError::new("not-learnable", error))?;
        let heading = heading(last.device.id, last.device.label.as_deref(), state);
        Ok(Json(LearntView {
            device: last.device.id,
            state,
            shown_at: last.kept.at,
            policy: render(&learnt, &heading),
            pcr_10: last.kept.pcr(IMA_PCR),
        }))
    })
    .await
}

/// Runs a long computation off the async runtime.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AdminError> + Send + 'static,
) -> Result<T, AdminError> {
    off_runtime(work).await?
}

async fn load_evidence(plane: &ControlPlane, device: DeviceId) -> Result<LastEvidence, AdminError> {
    let lease = plane.config.lease.clone();
    let stored = plane.store.transaction(move |tx| Stored::load(tx, device)).await?;
    off_the_runtime(move || stored.parse(&lease)).await
}

/// The stored state of a device, unparsed.
struct Stored {
    device: Device,
    kept: KeptEvidence,
    boot_log: Option<Vec<u8>>,
    pairing: Option<Pairing>,
    accepted: Vec<AcceptedState>,
    incidents: Vec<IncidentView>,
}

impl Stored {
    fn load(tx: &Tx<'_>, id: DeviceId) -> Result<Self, AdminError> {
        let device = tx.device(id)?.ok_or_else(AdminError::unknown_device)?;
        let kept = tx.kept_evidence(id)?.ok_or_else(|| {
            let message = "the device has sent no evidence yet: let it report or request a pairing";
            AdminError::new("nothing-reported", message)
        })?;
        Ok(Self {
            device,
            kept,
            boot_log: tx.kept_boot_log(id)?,
            pairing: tx.live_pairing(id)?,
            accepted: tx.boot_states(id)?,
            incidents: tx.open_incidents(id)?.into_iter().map(IncidentView::from).collect(),
        })
    }

    fn parse(self, lease: &LeasePolicy) -> Result<LastEvidence, AdminError> {
        let Self { device, kept, boot_log, pairing, accepted, incidents } = self;
        let quote = kept.quote().map_err(|_| StoreError::Malformed("kept evidence"))?;
        let (log, measured) = (boot_log.as_deref(), kept.measure_log());
        let lease_pcrs = LeasePcrs::of(lease, pairing.as_ref(), log, measured, quote.pcrs());
        let nvpcrs = kept.nvpcrs().map_err(|_| StoreError::Malformed("kept evidence"))?;
        Ok(LastEvidence { device, quote, nvpcrs, kept, lease_pcrs, boot_log, accepted, incidents })
    }
}
