use pawl_proto::{DeviceId, Digest};
use pawl_verifier::incident::{IncidentKind, TpmHistory, incidents_digest};
use pawl_verifier::record::Fact;

use crate::store::{StoreError, Tx};

/// An operator has dealt with all that is open; how many incidents there were. Whoever reports from now on is
/// seen for the first time: a copy that is gone is not held against the one that is left. `seen` is the digest
/// of what they have looked at.
///
/// # Errors
/// [`SettleError`] when something else is open.
pub fn settle_by_operator(
    tx: &Tx<'_>,
    device: DeviceId,
    seen: Digest,
    reason: String,
    now: u64,
) -> Result<usize, SettleError> {
    match incidents_digest(&tx.open_incidents(device)?) {
        Some(open) if open != seen => return Err(SettleError::Other),
        _ => {}
    }
    let settled = tx.settle_incidents(device, &IncidentKind::ALL, &format!("an operator: {reason}"), now)?;
    if settled == 0 {
        return Ok(0);
    }
    let history = TpmHistory { runs: Vec::new(), ..tx.tpm_history(device)? };
    tx.set_tpm_history(device, &history)?;
    let incidents = u64::try_from(settled).unwrap_or(u64::MAX);
    tx.record(device, now, Fact::IncidentsSettled { reason, incidents })?;
    Ok(settled)
}

/// Why incidents are not settled.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Something was seen that the operator has not looked at.
    #[error("something else was seen meanwhile: look at it (`pawl-control-plane show`), and name that")]
    Other,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
