use std::collections::BTreeMap;

use pawl_proto::message::Lease;
use pawl_proto::{DeviceId, Digest, PcrBank, PcrValue};
use serde::{Deserialize, Serialize};

use crate::store::{StoreError, Tx, VerdictRow};
use crate::update::PreApproved;
use pawl_verifier::boot_digest;
use pawl_verifier::{AcceptedState, BootState};

/// `pre-approve`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreApprovedView {
    /// The device.
    pub device: DeviceId,
    /// The operator's name for the state.
    pub name: String,
    /// The digest of the present boot state, on which the update builds: `--state` names it.
    pub state: Digest,
    /// The PCRs that the update changes, in the device's bank.
    pub changes: BTreeMap<u8, PcrChange>,
    /// The whole state: the PCRs that leases name.
    pub pcrs: BTreeMap<u8, PcrValue>,
    /// Whether the state was only computed, and nothing approved.
    pub dry_run: bool,
}

/// A PCR's change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PcrChange {
    /// Its value in the device's last report.
    pub from: PcrValue,
    /// Its value after the update.
    pub to: PcrValue,
}

/// `pre-approve --withdraw`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WithdrawnView {
    /// The device.
    pub device: DeviceId,
    /// How many approvals were withdrawn.
    pub withdrawn: usize,
}

/// A boot state that was approved ahead, in [`super::DeviceView`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AheadView {
    /// The operator's name for it.
    pub name: String,
    /// When it was approved.
    pub approved_at: u64,
    /// Whether the last verdict contains a lease for it. With more than four states approved ahead, the oldest have
    /// none.
    pub leased: bool,
    /// The TPM's clock at which that lease ends, milliseconds.
    pub clock: Option<u64>,
    /// The highest reset count of the TPM at which that lease is valid.
    pub reset_count: Option<u32>,
}

impl PreApprovedView {
    pub(crate) fn new(device: DeviceId, approved: PreApproved, dry_run: bool) -> Self {
        let PreApproved { name, present, coming } = approved;
        let changed = |(index, to): (&u8, &PcrValue)| {
            let from = present.get(index).copied().filter(|from| from != to)?;
            Some((*index, PcrChange { from, to: *to }))
        };
        let changes = coming.iter().filter_map(changed).collect();
        let state = boot_digest(&present);
        Self { device, name, state, changes, pcrs: coming, dry_run }
    }
}

impl AheadView {
    /// Returns the states that were approved ahead, each with its lease in the last verdict.
    pub(super) fn all(
        tx: &Tx<'_>,
        device: DeviceId,
        judged: Option<&VerdictRow>,
    ) -> Result<Vec<Self>, StoreError> {
        let leases = judged.map(|row| row.verdict.ahead.as_slice()).unwrap_or_default();
        let states = tx.boot_states(device)?.into_iter().filter(|state| state.ahead);
        Ok(states.map(|state| Self::of(state, leases)).collect())
    }

    fn of(state: AcceptedState, leases: &[Lease]) -> Self {
        let lease = leases.iter().find(|lease| is_for(lease, &state.pcrs));
        Self {
            name: state.name,
            approved_at: state.accepted_at,
            leased: lease.is_some(),
            clock: lease.map(|lease| lease.clock),
            reset_count: lease.map(|lease| lease.reset_count),
        }
    }
}

fn is_for(lease: &Lease, state: &BootState) -> bool {
    let values: Vec<u8> = state.values().flat_map(|value| value.as_bytes().to_vec()).collect();
    PcrBank::of(state) == Some(lease.bank)
        && state.keys().eq(&lease.pcrs)
        && Digest::of(&values) == lease.pcr_digest
}
