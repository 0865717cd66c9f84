//! Devices that are out of service: renamed, retired, deleted.

use pawl_proto::DeviceId;
use rusqlite::{OptionalExtension as _, params};

use super::{StoreError, Tx};

/// What a deletion drops: everything about a device but itself, its pairings and orders, and the audit records.
const DROPPED: [&str; 6] = [
    "DELETE FROM verdict WHERE device = ?1",
    "DELETE FROM boot_state WHERE device = ?1",
    "DELETE FROM sample WHERE device = ?1",
    "DELETE FROM sample_log WHERE device = ?1",
    "DELETE FROM incident WHERE device = ?1",
    "DELETE FROM session WHERE device = ?1",
];

impl Tx<'_> {
    /// Sets or removes the operator's name for a device.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_label(&self, device: DeviceId, label: Option<&str>) -> Result<(), StoreError> {
        self.sql.execute("UPDATE device SET label = ?2 WHERE id = ?1", params![device.as_str(), label])?;
        Ok(())
    }

    /// Marks a device as retired, and removes what the operator grants it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_retired(&self, device: DeviceId, now: u64) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE device SET retired_at = ?2, granted = NULL WHERE id = ?1",
            params![device.as_str(), now],
        )?;
        Ok(())
    }

    /// Deletes a device. Its audit records stay, with what verifies them and what the broker must still refuse: the keys and
    /// link certificates of its pairings, its orders and receipts.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn delete_device(&self, device: DeviceId, now: u64) -> Result<(), StoreError> {
        for statement in DROPPED {
            self.sql.execute(statement, [device.as_str()])?;
        }
        self.sql.execute(
            "UPDATE pairing SET base = NULL, boot_log = NULL, host = NULL, health = NULL, reported_at = NULL \
             WHERE device = ?1",
            [device.as_str()],
        )?;
        self.sql.execute(
            "UPDATE device SET deleted_at = ?2, label = NULL, standing_reason = NULL, granted = NULL, \
             reported_state = NULL, online = NULL, state = NULL, seen = NULL WHERE id = ?1",
            params![device.as_str(), now],
        )?;
        Ok(())
    }

    /// Returns when a device was deleted; none if it was not.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn deleted_at(&self, device: DeviceId) -> Result<Option<u64>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT deleted_at FROM device WHERE id = ?1")?;
        let deleted: Option<Option<u64>> =
            statement.query_row([device.as_str()], |row| row.get(0)).optional()?;
        Ok(deleted.flatten())
    }
}
