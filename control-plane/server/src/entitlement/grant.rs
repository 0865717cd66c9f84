//! The operator's grant: which scopes and audiences a device may have.

use pawl_proto::DeviceId;
use pawl_proto::message::{Access, Audience, Entitlement, Scope, Standing};

use crate::control_plane::ControlPlane;
use crate::store::{Pairing, StoreError, Tx};

/// Returns what the operator grants a device. Where no audience is granted, it is the control plane's own
/// URL.
pub(crate) fn granted(plane: &ControlPlane, tx: &Tx<'_>, device: DeviceId) -> Result<Access, StoreError> {
    Ok(with_default(plane, tx.granted(device)?))
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

/// Returns the entitlement of a device with this pairing: what the pairing asked for, or was granted since,
/// as far as the operator grants it now.
pub(crate) fn entitlement(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    pairing: &Pairing,
    standing: Standing,
) -> Result<Entitlement, StoreError> {
    let granted = granted(plane, tx, pairing.device)?;
    // Every pairing asks for the control plane itself: it is the audience of tokens that name none.
    let is_asked = |audience: &Audience| {
        audience.as_str() == plane.config.url.as_str() || pairing.audiences.contains(audience)
    };
    Ok(Entitlement {
        standing,
        scopes: common(&granted.scopes, &pairing.scopes),
        audiences: granted.audiences.into_iter().filter(is_asked).collect(),
    })
}

/// Returns the scopes that a pairing asked for and the operator grants its device now.
pub(crate) fn scopes(tx: &Tx<'_>, pairing: &Pairing) -> Result<Vec<Scope>, StoreError> {
    Ok(common(&tx.granted(pairing.device)?.scopes, &pairing.scopes))
}

/// Returns what stands in both, in the order of the first.
fn common<T: Clone + PartialEq>(first: &[T], second: &[T]) -> Vec<T> {
    first.iter().filter(|value| second.contains(value)).cloned().collect()
}

fn with_default(plane: &ControlPlane, mut granted: Access) -> Access {
    if granted.audiences.is_empty() {
        // A URL that is too long for an audience is none: then no token is issued.
        granted.audiences = Audience::new(plane.config.url.as_str()).into_iter().collect();
    }
    granted
}
