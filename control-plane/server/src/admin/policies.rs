//! Policies: why a device is judged as it is, and which policy it would satisfy.

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

/// The commands on policies that need to know what a device has shown.
pub(super) fn routes() -> Router<Arc<ControlPlane>> {
    Router::new()
        .route("/v1/devices/{device}/explanation", get(explain))
        .route("/v1/devices/{device}/learnt-policy", get(learn))
}

/// What a device last showed, and what else it is judged by.
struct Known {
    device: Device,
    sample: KeptEvidence,
    quote: VerifiedQuote,
    nvpcrs: Vec<VerifiedNvPcr>,
    /// The PCRs that its leases name.
    lease_pcrs: LeasePcrs,
    boot_log: Option<Vec<u8>>,
    accepted: Vec<AcceptedState>,
    incidents: Vec<IncidentView>,
}

impl Known {
    /// The digest of the boot state that it showed; none where a PCR that leases name was not quoted.
    fn state(&self) -> Option<Digest> {
        self.lease_pcrs.state(&quoted_values(self.quote.pcrs())).map(|state| boot_digest(&state))
    }
}

/// Judges it again by the policy that is in force now.
async fn explain(State(plane): Plane, Path(device): Path<String>) -> Answer<ExplanationView> {
    let known = known(&plane, parse(&device)?).await?;
    let policy = plane.policies.of(known.device.id);
    off_the_runtime(move || {
        let input = AppraisalInput {
            policy: policy.as_deref(),
            quote: &known.quote,
            lease_pcrs: &known.lease_pcrs,
            epoch: known.sample.epoch,
            age: known.sample.age,
            boot_log: known.boot_log.as_deref(),
            measure_log: known.sample.measure_log(),
            measure_log_cut: known.sample.is_measure_log_cut(),
            measure_log_behind: false,
            nvpcrs: match &policy {
                Some(policy) if !policy.asks_only(known.sample.nvpcrs_asked()) => NvPcrs::NotAsked,
                _ => NvPcrs::Certified(&known.nvpcrs),
            },
            ima: known.sample.ima_log(policy.as_ref().and_then(|policy| policy.ima.as_ref())),
        };
        let state = known.state();
        // Where it stood in the life of the TPM was judged when it came: see the incidents.
        let appraisal = appraise(&input, known.accepted, None);
        let mut view = ExplanationView::new(known.device.id, &input, known.sample.at, &appraisal);
        view.state = state;
        view.incidents = known.incidents;
        Ok(Json(view))
    })
    .await
}

#[derive(Deserialize)]
struct Seen {
    /// The digest of the boot state that the operator has looked at.
    state: Option<Digest>,
}

async fn learn(
    State(plane): Plane,
    Path(device): Path<String>,
    Query(Seen { state: seen }): Query<Seen>,
) -> Answer<LearntView> {
    let known = known(&plane, parse(&device)?).await?;
    let state = known.state();
    match (seen, state) {
        (Some(_), None) => return Err(OrderError::NothingReported.into()),
        (Some(seen), Some(reported)) if seen != reported => {
            return Err(OrderError::OtherState { seen, reported }.into());
        }
        _ => {}
    }
    off_the_runtime(move || {
        let Some(log) = &known.boot_log else {
            let message = "the device sent no boot event log, and a policy is learnt from that; \
                           write `boot-log.required = false` and accept its state instead";
            return Err(AdminError::new("no-boot-log", message));
        };
        let selection = known.lease_pcrs.selection();
        let learnt = Learnt::from_boot(log, known.sample.measure_log(), known.quote.pcrs(), &selection)
            .map_err(|error| AdminError::new("not-learnable", error))?;
        let heading = heading(known.device.id, known.device.label.as_deref(), state);
        Ok(Json(LearntView {
            device: known.device.id,
            state,
            shown_at: known.sample.at,
            policy: render(&learnt, &heading),
            pcr_10: known.sample.pcr(IMA_PCR),
        }))
    })
    .await
}

/// Runs what takes a processor for as long as a device's log is: the runtime's threads have others to serve.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AdminError> + Send + 'static,
) -> Result<T, AdminError> {
    off_runtime(work).await?
}

async fn known(plane: &ControlPlane, device: DeviceId) -> Result<Known, AdminError> {
    let lease = plane.config.lease.clone();
    let stored = plane.store.transaction(move |tx| Stored::load(tx, device)).await?;
    off_the_runtime(move || stored.parse(&lease)).await
}

/// What the database has of a device, unparsed.
struct Stored {
    device: Device,
    sample: KeptEvidence,
    boot_log: Option<Vec<u8>>,
    pairing: Option<Pairing>,
    accepted: Vec<AcceptedState>,
    incidents: Vec<IncidentView>,
}

impl Stored {
    fn load(tx: &Tx<'_>, id: DeviceId) -> Result<Self, AdminError> {
        let device = tx.device(id)?.ok_or_else(AdminError::unknown_device)?;
        let sample = tx.kept_evidence(id)?.ok_or_else(|| {
            let message = "the device has shown nothing yet: have it ask to be paired, or report";
            AdminError::new("nothing-reported", message)
        })?;
        Ok(Self {
            device,
            sample,
            boot_log: tx.kept_boot_log(id)?,
            pairing: tx.live_pairing(id)?,
            accepted: tx.boot_states(id)?,
            incidents: tx.open_incidents(id)?.into_iter().map(IncidentView::from).collect(),
        })
    }

    fn parse(self, lease: &LeasePolicy) -> Result<Known, AdminError> {
        let Self { device, sample, boot_log, pairing, accepted, incidents } = self;
        let quote = sample.quote().map_err(|_| StoreError::Malformed("sample"))?;
        let (log, measured) = (boot_log.as_deref(), sample.measure_log());
        let lease_pcrs = LeasePcrs::of(lease, pairing.as_ref(), log, measured, quote.pcrs());
        let nvpcrs = sample.nvpcrs().map_err(|_| StoreError::Malformed("sample"))?;
        Ok(Known { device, quote, nvpcrs, sample, lease_pcrs, boot_log, accepted, incidents })
    }
}
