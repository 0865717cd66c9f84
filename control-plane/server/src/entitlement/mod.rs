//! The entitlement of a device: whether it may work now, and the scopes and audiences that the operator grants it.

use pawl_proto::DeviceId;
use pawl_proto::message::{Access, Entitlement, Scope, Standing};
use pawl_verifier::entitlement;
use pawl_verifier::pairing::{Pairing, PairingState};

use crate::control_plane::ControlPlane;
use crate::store::{Device, StoreError, Tx, VerdictRow};

pub use pawl_verifier::entitlement::{AccessChange, AccessError};
pub(crate) use pawl_verifier::entitlement::{parse, with_own_audience};

/// A device that is paired, not suspended, and holds a lease.
pub(crate) struct Entitled {
    /// The device.
    pub(crate) device: Device,
    /// Its live pairing.
    pub(crate) pairing: Pairing,
    /// The verdict that gave the lease.
    pub(crate) verdict: VerdictRow,
    /// When the lease ends, Unix seconds.
    pub(crate) lease_until: u64,
}

/// Returns the device if it is entitled at `now`.
///
/// # Errors
/// [`EntitlementError`] names the reason why it is not.
pub(crate) fn entitled(tx: &Tx<'_>, id: DeviceId, now: u64) -> Result<Entitled, EntitlementError> {
    let device = tx.device(id)?.ok_or(EntitlementError::UnknownDevice)?;
    let pairing = tx.newest_pairing(id)?.ok_or(EntitlementError::NotPaired)?;
    if pairing.state != PairingState::Live {
        return Err(EntitlementError::Revoked);
    }
    if device.standing != Standing::Active {
        return Err(EntitlementError::Suspended);
    }
    let verdict = tx.appraised_verdict(pairing.id)?.filter(|verdict| verdict.entitles(now));
    let verdict = verdict.ok_or(EntitlementError::NoLease)?;
    let lease_until = verdict.lease_until.ok_or(EntitlementError::NoLease)?;
    Ok(Entitled { device, pairing, verdict, lease_until })
}

/// Why a device is not entitled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntitlementError {
    /// It is not enrolled.
    #[error("no such device")]
    UnknownDevice,
    /// It was never paired.
    #[error("the device is not paired")]
    NotPaired,
    /// The end of its pairing is ordered or proven.
    #[error("the pairing is revoked")]
    Revoked,
    /// The operator suspended it.
    #[error("the device is suspended")]
    Suspended,
    /// Its last verdict brought no lease, or that lease has ended.
    #[error("the device has no lease: it must report first")]
    NoLease,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Returns the scopes and audiences that the operator grants a device. If no audience is granted, the control plane's
/// own URL is.
pub(crate) fn granted(plane: &ControlPlane, tx: &Tx<'_>, device: DeviceId) -> Result<Access, StoreError> {
    Ok(with_own_audience(tx.granted(device)?, plane.config.url.as_str()))
}

/// Returns the grant that a new pairing of a device will have: the device's own or, if it is not enrolled, that of the
/// device that it replaces.
pub(crate) fn prospective(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    device: DeviceId,
    replaces: Option<DeviceId>,
) -> Result<Access, StoreError> {
    let holder = match replaces {
        Some(replaced) if tx.enrolled_device(device)?.is_none() => replaced,
        _ => device,
    };
    granted(plane, tx, holder)
}

/// Returns the entitlement of a device with this pairing.
pub(crate) fn entitlement(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    pairing: &Pairing,
    standing: Standing,
) -> Result<Entitlement, StoreError> {
    let granted = tx.granted(pairing.device)?;
    Ok(entitlement::entitlement(granted, pairing, plane.config.url.as_str(), standing))
}

/// Returns the scopes that a pairing asked for and the operator grants its device now.
pub(crate) fn scopes(tx: &Tx<'_>, pairing: &Pairing) -> Result<Vec<Scope>, StoreError> {
    Ok(entitlement::scopes(&tx.granted(pairing.device)?, pairing))
}

#[cfg(test)]
mod tests;
