use pawl_proto::DeviceId;
use pawl_verifier::{AcceptedState, BootState};
use rusqlite::{OptionalExtension as _, Row, params};

use super::value::{from_blob, from_name, to_blob, to_name};
use super::{StoreError, Tx};

pub(super) const ORIGINS: &str = "
ALTER TABLE boot_state ADD COLUMN origin TEXT NOT NULL DEFAULT 'operator';
UPDATE boot_state SET origin = 'first-pairing' WHERE name = 'the first pairing';
-- Approved ahead, and not seen since.
ALTER TABLE boot_state ADD COLUMN ahead INTEGER NOT NULL DEFAULT 0;
";

impl Tx<'_> {
    /// Accepts a boot state of a device; false when it was accepted before, and by no lesser word.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn accept_boot_state(&self, device: DeviceId, state: &AcceptedState) -> Result<bool, StoreError> {
        let changed = self.sql.execute(
            "INSERT INTO boot_state (device, pcrs, name, origin, ahead, accepted_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET name = ?3, origin = ?4, ahead = ?5, \
             accepted_at = ?6 WHERE ?5 OR (boot_state.origin = 'first-pairing' AND ?4 <> 'first-pairing')",
            params![
                device.as_str(),
                to_blob(&state.pcrs, "boot state")?,
                state.name,
                to_name(state.by, "origin")?,
                state.ahead,
                state.accepted_at,
            ],
        )?;
        Ok(changed == 1)
    }

    /// The accepted boot states of a device, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn boot_states(&self, device: DeviceId) -> Result<Vec<AcceptedState>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT name, origin, pcrs, ahead, accepted_at FROM boot_state WHERE device = ?1 \
             ORDER BY accepted_at",
        )?;
        let rows = statement.query_map([device.as_str()], |row| Ok(read(row)))?;
        rows.map(|row| row?).collect()
    }

    /// The device was in this boot state: it is no longer one to come.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn boot_states_reached(&self, device: DeviceId, quoted: &BootState) -> Result<(), StoreError> {
        let states = self.boot_states(device)?.into_iter().filter(|state| state.ahead);
        for state in states.filter(|state| state.is_reached_by(quoted)) {
            self.boot_state_reached(device, &state.pcrs)?;
        }
        Ok(())
    }

    fn boot_state_reached(&self, device: DeviceId, state: &BootState) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE boot_state SET ahead = 0 WHERE device = ?1 AND pcrs = ?2",
            params![device.as_str(), to_blob(state, "boot state")?],
        )?;
        Ok(())
    }

    /// Takes back the boot states that were approved ahead and have not come; how many.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn withdraw_boot_states(&self, device: DeviceId) -> Result<usize, StoreError> {
        Ok(self.sql.execute("DELETE FROM boot_state WHERE device = ?1 AND ahead", [device.as_str()])?)
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

fn read(row: &Row<'_>) -> Result<AcceptedState, StoreError> {
    Ok(AcceptedState {
        name: row.get(0)?,
        by: from_name(row.get(1)?, "origin")?,
        pcrs: from_blob(&row.get::<_, Vec<u8>>(2)?, "boot state")?,
        ahead: row.get(3)?,
        accepted_at: row.get(4)?,
    })
}
