//! Lists all devices. The number of queries does not grow with the fleet.

use pawl_proto::Epoch;
use pawl_proto::message::Access;
use pawl_verifier::pairing::PairingState;
use rusqlite::Row;

use super::device::{COLUMN_COUNT, COLUMNS, read_device};
use super::pairing::{REPORTED_COLUMNS, read_reported};
use super::verdict::read_verdict;
use super::{Device, Reported, StoreError, Tx, VerdictRow, from_blob, from_name};

/// An enrolled device and its newest pairing, as lists show them.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedDevice {
    /// The device.
    pub device: Device,
    /// The scopes and audiences that the operator grants it.
    pub granted: Access,
    /// Its newest pairing, even if it has ended.
    pub pairing: Option<ListedPairing>,
}

/// A pairing, in [`ListedDevice`].
#[derive(Clone, Debug, PartialEq)]
pub struct ListedPairing {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its state.
    pub state: PairingState,
    /// When the TPM's proof of its end was received, Unix seconds.
    pub ended_at: Option<u64>,
    /// When its end was last ordered, Unix seconds.
    pub end_ordered_at: Option<u64>,
    /// Its last report.
    pub reported: Option<Reported>,
    /// Its last verdict with an attestation result.
    pub verdict: Option<VerdictRow>,
}

impl Tx<'_> {
    /// Returns every device, also the retired ones, with its newest pairing, by id.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn listed_devices(&self) -> Result<Vec<ListedDevice>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS}, device.granted, pairing.epoch, pairing.state, pairing.ended_at, \
             (SELECT max(time) FROM event WHERE event.device = device.id AND event.epoch = pairing.epoch \
                 AND event.kind IN ('revoke', 'repair')), \
             {REPORTED_COLUMNS}, verdict.body, verdict.lease_until \
             FROM device \
             LEFT JOIN pairing ON pairing.device = device.id \
                 AND pairing.epoch = (SELECT max(epoch) FROM pairing WHERE pairing.device = device.id) \
             LEFT JOIN verdict ON verdict.device = device.id AND verdict.sequence = \
                 (SELECT max(sequence) FROM verdict WHERE verdict.device = device.id \
                  AND verdict.pairing = pairing.id AND verdict.judged) \
             WHERE device.deleted_at IS NULL ORDER BY device.id"
        ))?;
        let rows = statement.query_map([], |row| Ok(read_listed(row)))?;
        rows.map(|row| row?).collect()
    }
}

/// The first column after those of the device.
const PAIRING: usize = COLUMN_COUNT + 1;
const REPORTED: usize = PAIRING + 4;
const VERDICT: usize = REPORTED + 6;

fn read_listed(row: &Row<'_>) -> Result<ListedDevice, StoreError> {
    let granted: Option<Vec<u8>> = row.get(COLUMN_COUNT)?;
    let pairing = match (row.get(PAIRING)?, row.get::<_, Option<String>>(PAIRING + 1)?) {
        (Some(epoch), Some(state)) => Some(ListedPairing {
            epoch: Epoch(epoch),
            state: from_name(state, "pairing state")?,
            ended_at: row.get(PAIRING + 2)?,
            end_ordered_at: row.get(PAIRING + 3)?,
            reported: read_reported(row, REPORTED)?,
            verdict: match row.get::<_, Option<Vec<u8>>>(VERDICT)? {
                Some(_) => Some(read_verdict(row, VERDICT)?),
                None => None,
            },
        }),
        _ => None,
    };
    Ok(ListedDevice {
        device: read_device(row)?,
        granted: granted.map(|blob| from_blob(&blob, "grant")).transpose()?.unwrap_or_default(),
        pairing,
    })
}
