use std::sync::Arc;
use std::time::Duration;

use pawl_proto::message::Standing;
use pawl_proto::{DeviceId, Digest};

use super::OrderError;
use crate::broker::{Delivered, Listener};
use crate::control_plane::ControlPlane;
use crate::off_runtime::off_runtime;
use crate::store::{StoreError, Tx};
use crate::verdict;
use pawl_verifier::boot_digest;
use pawl_verifier::record::Fact;
use pawl_verifier::report::KeptEvidence;
use pawl_verifier::verdict::VerdictDraft;
use pawl_verifier::{AcceptedBy, AcceptedState, BootState, CoverageError, check_coverage};

/// How long an operator's command waits for the broker.
const DELIVERY: Duration = Duration::from_secs(5);

/// The outcome of a changed standing.
#[derive(Clone, Debug)]
pub struct StandingChanged {
    /// The standing now.
    pub standing: Standing,
    /// The number of the suspension that began or ended.
    pub suspension: u64,
    /// The verdict that carries it to the device; none if there is no live pairing.
    pub sequence: Option<u64>,
    /// Whether the broker has acknowledged that verdict.
    pub published: bool,
}

/// Suspends a device until it is resumed: it gets no token and no lease, and a verdict with the suspension. Nothing is
/// destroyed.
///
/// # Errors
/// [`OrderError`]
pub async fn suspend(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    reason: String,
) -> Result<StandingChanged, OrderError> {
    change(plane, device, StandingChange::Suspend { reason }).await
}

/// Ends the suspension with this number, and asks the device for a report, which can bring the next lease.
///
/// # Errors
/// [`OrderError`]; [`OrderError::OtherSuspension`] when the device was suspended again after the operator inspected it.
pub async fn resume(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    suspension: u64,
) -> Result<StandingChanged, OrderError> {
    change(plane, device, StandingChange::Resume { suspension }).await
}

/// A change of a device's standing.
enum StandingChange {
    /// Suspend it, for this reason.
    Suspend { reason: String },
    /// End the suspension with this number.
    Resume { suspension: u64 },
}

impl StandingChange {
    fn standing(&self) -> Standing {
        match self {
            Self::Suspend { .. } => Standing::Suspended,
            Self::Resume { .. } => Standing::Active,
        }
    }
}

async fn change(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    change: StandingChange,
) -> Result<StandingChanged, OrderError> {
    let listener = plane.outbox.listen();
    let plane_in_tx = Arc::clone(plane);
    let standing = change.standing();
    let (suspension, sequence) =
        plane.store.transaction(move |tx| change_in(&plane_in_tx, tx, device, change)).await?;
    plane.outbox.wake();
    let published = wait_for_delivery(plane, listener, device, sequence).await;
    Ok(StandingChanged { standing, suspension, sequence, published })
}

/// Waits for the broker to acknowledge the verdict of this number. Returns whether it did.
pub(super) async fn wait_for_delivery(
    plane: &ControlPlane,
    listener: Listener,
    device: DeviceId,
    sequence: Option<u64>,
) -> bool {
    match sequence {
        Some(number) if plane.outbox.connected() => {
            let awaited = Delivered::Verdict { device, sequence: number };
            listener.wait(DELIVERY, |delivered| (delivered == awaited).then_some(())).await.is_some()
        }
        _ => false,
    }
}

fn change_in(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    id: DeviceId,
    change: StandingChange,
) -> Result<(u64, Option<u64>), OrderError> {
    let device = tx.device(id)?.ok_or(OrderError::UnknownDevice)?;
    if device.is_retired() {
        return Err(OrderError::Retired);
    }
    let now = plane.clock.now();
    let (suspension, draft) = match change {
        StandingChange::Suspend { reason } => {
            tx.set_standing(id, Standing::Suspended, Some(&reason))?;
            tx.record(id, now, Fact::Suspended { reason: reason.clone() })?;
            let draft = VerdictDraft {
                reasons: vec![reason],
                interval: plane.config.report_interval(),
                ..VerdictDraft::challenge(Standing::Suspended, false)
            };
            (device.suspensions.saturating_add(1), draft)
        }
        StandingChange::Resume { suspension } => {
            match device.standing {
                Standing::Active => return Err(OrderError::NotSuspended),
                _ if device.suspensions != suspension => {
                    let reason = device.standing_reason.unwrap_or_default();
                    let now = device.suspensions;
                    return Err(OrderError::OtherSuspension { seen: suspension, now, reason });
                }
                _ => {}
            }
            tx.set_standing(id, Standing::Active, None)?;
            tx.record(id, now, Fact::Resumed {})?;
            (suspension, VerdictDraft::challenge(Standing::Active, false))
        }
    };
    let live = tx.live_pairing(id)?;
    let Some(pairing) = live else { return Ok((suspension, None)) };
    let (verdict, _) = verdict::issue(plane, tx, &pairing, draft)?;
    Ok((suspension, Some(verdict.sequence)))
}

/// Accepts the boot state with this digest, if the device last reported it, and asks the device to report again. Returns
/// the number of accepted states and whether this one is new.
///
/// # Errors
/// [`OrderError`]
pub async fn accept(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    seen: Digest,
) -> Result<(usize, bool), OrderError> {
    loop {
        let shown = plane.store.transaction(move |tx| load_reported_state(tx, device, seen)).await?;
        let of_check = shown.clone();
        off_runtime(move || of_check.check()).await??;
        #[cfg(test)]
        plane.appraisals.done(&plane.store).await;
        let plane_in_tx = Arc::clone(plane);
        let accepted =
            plane.store.transaction(move |tx| accept_in(&plane_in_tx, tx, device, seen, shown)).await?;
        if let Some(accepted) = accepted {
            plane.outbox.wake();
            return Ok(accepted);
        }
    }
}

/// The boot state that a device last reported, with its evidence: the basis of an acceptance.
#[derive(Clone, PartialEq)]
struct ReportedState {
    state: BootState,
    evidence: Option<KeptEvidence>,
    boot_log: Option<Vec<u8>>,
}

impl ReportedState {
    /// Checks that the boot state covers kernel and command line.
    fn check(&self) -> Result<(), OrderError> {
        let Some(evidence) = &self.evidence else { return Ok(()) };
        match check_coverage(&self.state, evidence, self.boot_log.as_deref()) {
            Ok(()) => Ok(()),
            Err(CoverageError::Uncovered(uncovered)) => Err(uncovered.into()),
            Err(CoverageError::Damaged(_)) => Err(StoreError::Malformed("kept evidence").into()),
        }
    }
}

fn load_reported_state(tx: &Tx<'_>, id: DeviceId, seen: Digest) -> Result<ReportedState, OrderError> {
    tx.device(id)?.ok_or(OrderError::UnknownDevice)?;
    let state = tx.reported_state(id)?.ok_or(OrderError::NothingReported)?;
    let reported = boot_digest(&state);
    if reported != seen {
        return Err(OrderError::OtherState { seen, reported });
    }
    Ok(ReportedState { state, evidence: tx.kept_evidence(id)?, boot_log: tx.kept_boot_log(id)? })
}

/// Accepts the reported state. Returns none when the device has reported another one since it was checked.
fn accept_in(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    id: DeviceId,
    seen: Digest,
    shown: ReportedState,
) -> Result<Option<(usize, bool)>, OrderError> {
    if load_reported_state(tx, id, seen)? != shown {
        return Ok(None);
    }
    let device = tx.device(id)?.ok_or(OrderError::UnknownDevice)?;
    let now = plane.clock.now();
    let (name, pcrs) = ("accepted by an operator".to_owned(), shown.state);
    let state = AcceptedState { name, by: AcceptedBy::Operator, pcrs, ahead: false, accepted_at: now };
    let new = tx.accept_boot_state(id, &state)?;
    if new {
        tx.record(id, now, Fact::accepted(&state.pcrs, &state.name))?;
    }
    let live = tx.live_pairing(id)?;
    if let Some(pairing) = live {
        verdict::issue(plane, tx, &pairing, verdict::ask_for_report(&device, false))?;
    }
    Ok(Some((tx.boot_states(id)?.len(), new)))
}
