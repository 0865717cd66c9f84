use std::sync::Arc;
use std::time::Duration;

use pawl_proto::message::Standing;
use pawl_proto::{DeviceId, Digest};

use super::event::OrderError;
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

/// So long an operator waits for the broker's word.
const DELIVERY: Duration = Duration::from_secs(5);

/// A changed standing.
#[derive(Clone, Debug)]
pub struct Standings {
    /// The standing now.
    pub standing: Standing,
    /// The number of the suspension that began or ended.
    pub suspension: u64,
    /// The verdict that tells the device; none where it has no pairing.
    pub sequence: Option<u64>,
    /// Whether the broker has taken it.
    pub published: bool,
}

/// Takes a device's entitlement until it is resumed: no token and no lease from now on, and a
/// verdict that tells the device. Nothing is destroyed.
///
/// # Errors
/// [`OrderError`]
pub async fn suspend(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    reason: String,
) -> Result<Standings, OrderError> {
    change(plane, device, Change::Suspend { reason }).await
}

/// Ends the suspension with this number: the control plane asks the device for a report, and a good one brings the
/// next lease.
///
/// # Errors
/// [`OrderError`]; [`OrderError::OtherSuspension`] when the device has been suspended again since the operator looked.
pub async fn resume(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    suspension: u64,
) -> Result<Standings, OrderError> {
    change(plane, device, Change::Resume { suspension }).await
}

/// What an operator changes in a device's standing.
enum Change {
    /// Suspend it, for this reason.
    Suspend { reason: String },
    /// End the suspension with this number.
    Resume { suspension: u64 },
}

impl Change {
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
    change: Change,
) -> Result<Standings, OrderError> {
    let listener = plane.outbox.listen();
    let plane_in_tx = Arc::clone(plane);
    let standing = change.standing();
    let (suspension, sequence) =
        plane.store.transaction(move |tx| change_in(&plane_in_tx, tx, device, change)).await?;
    plane.outbox.wake();
    let published = delivered(plane, listener, device, sequence).await;
    Ok(Standings { standing, suspension, sequence, published })
}

/// Waits for the broker to take the verdict of this number; whether it has.
pub(super) async fn delivered(
    plane: &ControlPlane,
    listener: Listener,
    device: DeviceId,
    sequence: Option<u64>,
) -> bool {
    match sequence {
        Some(number) if plane.outbox.connected() => {
            let ours = Delivered::Verdict { device, sequence: number };
            listener.wait(DELIVERY, |delivered| (delivered == ours).then_some(())).await.is_some()
        }
        _ => false,
    }
}

fn change_in(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    id: DeviceId,
    change: Change,
) -> Result<(u64, Option<u64>), OrderError> {
    let device = tx.device(id)?.ok_or(OrderError::UnknownDevice)?;
    let now = plane.clock.now();
    let (suspension, draft) = match change {
        Change::Suspend { reason } => {
            tx.set_standing(id, Standing::Suspended, Some(&reason))?;
            tx.record(id, now, Fact::Suspended { reason: reason.clone() })?;
            let draft = VerdictDraft {
                reasons: vec![reason],
                interval: plane.config.report_interval(),
                ..VerdictDraft::challenge(Standing::Suspended, false)
            };
            (device.suspensions.saturating_add(1), draft)
        }
        Change::Resume { suspension } => {
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

/// Accepts the boot state with this digest, if it is the one that the device last reported, and asks the device
/// to report again. Gives the number of accepted states and whether this one is new.
///
/// # Errors
/// [`OrderError`]
pub async fn accept(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    seen: Digest,
) -> Result<(usize, bool), OrderError> {
    loop {
        let shown = plane.store.transaction(move |tx| load_shown(tx, device, seen)).await?;
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

/// What a device last showed.
#[derive(Clone, PartialEq)]
struct Shown {
    state: BootState,
    evidence: Option<KeptEvidence>,
    boot_log: Option<Vec<u8>>,
}

impl Shown {
    /// Checks that the boot state covers kernel and command line.
    fn check(&self) -> Result<(), OrderError> {
        let Some(evidence) = &self.evidence else { return Ok(()) };
        match check_coverage(&self.state, evidence, self.boot_log.as_deref()) {
            Ok(()) => Ok(()),
            Err(CoverageError::Uncovered(uncovered)) => Err(uncovered.into()),
            Err(CoverageError::Damaged(_)) => Err(StoreError::Malformed("sample").into()),
        }
    }
}

fn load_shown(tx: &Tx<'_>, id: DeviceId, seen: Digest) -> Result<Shown, OrderError> {
    tx.device(id)?.ok_or(OrderError::UnknownDevice)?;
    let state = tx.reported_state(id)?.ok_or(OrderError::NothingReported)?;
    let reported = boot_digest(&state);
    if reported != seen {
        return Err(OrderError::OtherState { seen, reported });
    }
    Ok(Shown { state, evidence: tx.sample(id)?, boot_log: tx.sample_log(id)? })
}

/// Accepts what the device showed. None when it has shown something else since it was checked.
fn accept_in(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    id: DeviceId,
    seen: Digest,
    shown: Shown,
) -> Result<Option<(usize, bool)>, OrderError> {
    if load_shown(tx, id, seen)? != shown {
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
        verdict::issue(plane, tx, &pairing, verdict::ask(&device, false))?;
    }
    Ok(Some((tx.boot_states(id)?.len(), new)))
}
