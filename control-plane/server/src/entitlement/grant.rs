//! The operator's grant: which scopes and audiences a device may have.

use pawl_proto::DeviceId;
use pawl_proto::message::{Access, Entitlement, Scope, Standing};
use pawl_verifier::entitlement;
use pawl_verifier::pairing::Pairing;

use crate::control_plane::ControlPlane;
use crate::store::{StoreError, Tx};

/// Returns what the operator grants a device. Where no audience is granted, it is the control plane's own
/// URL.
pub(crate) fn granted(plane: &ControlPlane, tx: &Tx<'_>, device: DeviceId) -> Result<Access, StoreError> {
    Ok(entitlement::with_own_audience(tx.granted(device)?, plane.config.url.as_str()))
}

/// Returns what a device that asks to be paired would be granted: its own grant or, where nobody has
/// enrolled it, that of the device whose place it takes.
pub(crate) fn prospective(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    device: DeviceId,
    replaces: Option<DeviceId>,
) -> Result<Access, StoreError> {
    let holder = match replaces {
        Some(replaced) if tx.device(device)?.is_none() => replaced,
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
