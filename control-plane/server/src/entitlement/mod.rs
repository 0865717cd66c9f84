//! Whether a device may have anything of this control plane now, and what: the operator's grant.

mod grant;

pub(crate) use grant::{entitlement, granted, prospective, scopes};
pub(crate) use pawl_verifier::entitlement::parse;
pub use pawl_verifier::entitlement::{AccessChange, AccessError};

#[cfg(test)]
mod tests;

use pawl_proto::DeviceId;
use pawl_proto::message::Standing;

use crate::store::{Device, StoreError, Tx, VerdictRow};
use pawl_verifier::pairing::{Pairing, PairingState};

/// A device that is paired, in good standing, and holds a lease.
pub(crate) struct Entitled {
    /// The device.
    pub(crate) device: Device,
    /// Its live pairing.
    pub(crate) pairing: Pairing,
    /// The verdict that gave the lease.
    pub(crate) verdict: VerdictRow,
    /// Until when the lease runs.
    pub(crate) lease_until: u64,
}

/// The device, if it may have something at `now`.
///
/// # Errors
/// [`EntitlementError`] says why not.
pub(crate) fn entitled(tx: &Tx<'_>, id: DeviceId, now: u64) -> Result<Entitled, EntitlementError> {
    let device = tx.device(id)?.ok_or(EntitlementError::UnknownDevice)?;
    let pairing = tx.newest_pairing(id)?.ok_or(EntitlementError::NotPaired)?;
    if pairing.state != PairingState::Live {
        return Err(EntitlementError::Revoked);
    }
    if device.standing != Standing::Active {
        return Err(EntitlementError::Suspended);
    }
    let verdict = tx.judged(pairing.id)?.filter(|verdict| verdict.entitles(now));
    let verdict = verdict.ok_or(EntitlementError::NoLease)?;
    let lease_until = verdict.lease_until.ok_or(EntitlementError::NoLease)?;
    Ok(Entitled { device, pairing, verdict, lease_until })
}

/// Why a device may have nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntitlementError {
    /// Nobody enrolled it.
    #[error("no such device")]
    UnknownDevice,
    /// It was never paired.
    #[error("the device is not paired")]
    NotPaired,
    /// The end of its pairing was ordered or is known.
    #[error("the pairing is revoked")]
    Revoked,
    /// The operator suspended it.
    #[error("the device is suspended")]
    Suspended,
    /// Its last report was not good enough, or is too old.
    #[error("the device has no lease: it has to report first")]
    NoLease,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
