use std::collections::BTreeMap;

use pawl_proto::{DeviceId, Digest};
use rusqlite::{OptionalExtension as _, params};

use super::value::{from_blob, to_blob};
use super::{StoreError, Tx};

/// What a device runs: values of the PCRs that leases name, sha256 bank.
pub type BootState = BTreeMap<u8, Digest>;

/// A boot state that a device may be in.
#[derive(Clone, Debug, PartialEq)]
pub struct AcceptedState {
    /// How it came to be accepted, for people.
    pub name: String,
    /// The values.
    pub pcrs: BootState,
}

impl Tx<'_> {
    /// Accepts a boot state of a device; false when it was accepted before.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn accept_boot_state(
        &self,
        device: DeviceId,
        name: &str,
        state: &BootState,
        now: u64,
    ) -> Result<bool, StoreError> {
        let added = self.sql.execute(
            "INSERT INTO boot_state (device, pcrs, name, accepted_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT DO NOTHING",
            params![device.as_str(), to_blob(state, "boot state")?, name, now],
        )?;
        Ok(added == 1)
    }

    /// The accepted boot states of a device, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn boot_states(&self, device: DeviceId) -> Result<Vec<AcceptedState>, StoreError> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT name, pcrs FROM boot_state WHERE device = ?1 ORDER BY accepted_at")?;
        let rows =
            statement.query_map([device.as_str()], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (name, pcrs) = row?;
            Ok(AcceptedState { name, pcrs: from_blob(&pcrs, "boot state")? })
        })
        .collect()
    }

    /// The boot state in which a device last reported or asked to be paired, by a quote of its
    /// TPM, whether it is accepted or not.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn reported_state(&self, device: DeviceId) -> Result<Option<BootState>, StoreError> {
        let blob: Option<Option<Vec<u8>>> = self
            .sql
            .prepare_cached("SELECT reported_state FROM device WHERE id = ?1")?
            .query_row([device.as_str()], |row| row.get(0))
            .optional()?;
        blob.flatten().map(|blob| from_blob(&blob, "boot state")).transpose()
    }

    /// Remembers what a device runs.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_reported_state(&self, device: DeviceId, state: &BootState) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE device SET reported_state = ?2 WHERE id = ?1",
            params![device.as_str(), to_blob(state, "boot state")?],
        )?;
        Ok(())
    }
}
