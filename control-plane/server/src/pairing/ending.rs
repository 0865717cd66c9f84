use pawl_proto::DeviceId;
use pawl_proto::message::{Ending, Known, ShortText};

use crate::entitlement;
use crate::store::{StoreError, Tx};
use pawl_verifier::pairing::Pairing;

/// What is known here of a device and of the one whose place it takes: what an approval ends.
pub(crate) fn known(tx: &Tx<'_>, device: DeviceId, replaces: Option<DeviceId>) -> Result<Known, StoreError> {
    let ending = |pairing| ending(tx, pairing);
    let live = tx.live_pairing(device)?;
    let replaced = match replaces {
        Some(replaces) => tx.newest_pairing(replaces)?,
        None => None,
    };
    Ok(Known {
        label: tx.device(device)?.and_then(|device| device.label).map(|label| ShortText::lossy(&label)),
        ends: live.map(ending).transpose()?,
        replaced: replaced.map(ending).transpose()?,
    })
}

fn ending(tx: &Tx<'_>, pairing: Pairing) -> Result<Ending, StoreError> {
    let scopes = entitlement::scopes(tx, &pairing)?;
    Ok(Ending { pairing: pairing.id, epoch: pairing.epoch, paired_at: pairing.paired_at, scopes })
}
