use pawl_proto::message::{Finding, PairingRequest};
use pawl_proto::{DeviceId, Digest};

use crate::record::Fact;
use crate::store::{Incident, IncidentKind, StoreError, Tx};

/// A new pairing was made: its keys are in one TPM and on one disk. `by_person`: somebody who was shown
/// what the device found has approved it. Otherwise what was found of the disk goes on to be told.
///
/// # Errors
/// [`StoreError`]
pub(crate) fn settle_by_pairing(
    tx: &Tx<'_>,
    request: &PairingRequest,
    by_person: bool,
    now: u64,
) -> Result<(), StoreError> {
    const OVER: [IncidentKind; 3] =
        [IncidentKind::TwoPlaces, IncidentKind::SetBack, IncidentKind::DiskElsewhere];
    const DISK: [IncidentKind; 2] = [IncidentKind::DiskOfAnother, IncidentKind::Reimaged];

    tx.settle_incidents(request.device, &OVER, "paired anew", now)?;
    if by_person || request.finding == Finding::NothingChanged {
        tx.settle_incidents(request.device, &DISK, "paired anew", now)?;
    }
    Ok(())
}

/// Somebody has approved that one device takes the place of another: where its disk went is known.
///
/// # Errors
/// [`StoreError`]
pub(crate) fn settle_by_replacing(
    tx: &Tx<'_>,
    old: DeviceId,
    new: DeviceId,
    now: u64,
) -> Result<(), StoreError> {
    tx.settle_incidents(old, &[IncidentKind::DiskElsewhere], "replaced", now)?;
    tx.settle_incidents(new, &[IncidentKind::DiskOfAnother], "it takes the place of the other", now)?;
    Ok(())
}

/// Returns the digest of open incidents, by which an operator names what they have looked at: it covers each
/// incident and how often it was seen. None where nothing is open.
pub(crate) fn digest(open: &[Incident]) -> Option<Digest> {
    let lines = open.iter().map(|incident| {
        let Incident { kind, other, first_at, last_at, times, .. } = incident;
        format!("{kind:?} {other:?} {first_at} {last_at} {times}\n")
    });
    let text: String = lines.collect();
    (!open.is_empty()).then(|| Digest::of(text.as_bytes()))
}

/// An operator has dealt with all that is open; how many incidents there were. Whoever reports from now on is
/// seen for the first time: a copy that is gone is not held against the one that is left. `seen` is the digest
/// of what they have looked at.
///
/// # Errors
/// [`SettleError`] when something else is open.
pub(crate) fn settle_by_operator(
    tx: &Tx<'_>,
    device: DeviceId,
    seen: Digest,
    reason: String,
    now: u64,
) -> Result<usize, SettleError> {
    match digest(&tx.open_incidents(device)?) {
        Some(open) if open != seen => return Err(SettleError::Other),
        _ => {}
    }
    let settled = tx.settle_incidents(device, &IncidentKind::ALL, &format!("an operator: {reason}"), now)?;
    if settled == 0 {
        return Ok(0);
    }
    tx.set_runs(device, &[])?;
    let incidents = u64::try_from(settled).unwrap_or(u64::MAX);
    tx.record(device, now, Fact::IncidentsSettled { reason, incidents })?;
    Ok(settled)
}

/// Why incidents are not settled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettleError {
    /// Something was seen that the operator has not looked at.
    #[error("something else was seen meanwhile: look at it (`pawl-control-plane show`), and name that")]
    Other,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
