use pawl_proto::DeviceId;
use pawl_proto::message::{EventKind, Statement};

use crate::config::ApprovalsConfig;
use crate::store::{Pairing, PairingState, StoreError, Tx};

/// What a pairing is, and how many persons must approve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// [`Statement::PAIR`] or [`Statement::RE_PAIR`].
    pub(super) action: &'static str,
    /// How many persons.
    pub(super) needed: u8,
}

/// Returns the operator's policy for a pairing of this device.
///
/// A pairing that takes another device's place ends that device, so it needs at least one person, whatever
/// the configuration says.
pub(super) fn policy(
    config: &ApprovalsConfig,
    tx: &Tx<'_>,
    device: DeviceId,
    replaces: Option<DeviceId>,
) -> Result<Policy, StoreError> {
    let newest = tx.newest_pairing(device)?;
    let needed = match (&newest, replaces) {
        (None, None) => return Ok(Policy { action: Statement::PAIR, needed: config.pair }),
        (Some(newest), None) if ended_by_operator(tx, newest)? => config.after_repair(),
        (_, Some(_)) => config.re_pair.max(1),
        (Some(_), None) => config.re_pair,
    };
    Ok(Policy { action: Statement::RE_PAIR, needed })
}

/// Whether an operator, and not the approval of another session, ordered that this pairing be made
/// anew.
fn ended_by_operator(tx: &Tx<'_>, pairing: &Pairing) -> Result<bool, StoreError> {
    if pairing.state == PairingState::Live {
        return Ok(false);
    }
    let events = tx.events(pairing.device)?;
    let last = events.iter().rfind(|event| event.epoch == pairing.epoch && event.kind != EventKind::Refresh);
    Ok(last.is_some_and(|event| event.kind == EventKind::Repair && event.session.is_none()))
}
