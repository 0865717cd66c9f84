use pawl_proto::message::{Access, Audience, Scope};
use pawl_proto::{DeviceId, PairingId};
use rusqlite::{OptionalExtension as _, params};

use super::value::{from_blob, to_blob};
use super::{StoreError, Tx};

pub(super) const GRANTS: &str = "
-- The scopes and audiences that the operator grants; none before the first grant.
ALTER TABLE device ADD COLUMN granted BLOB;
-- As the column scopes: what the pairing asked for, and what was granted to it since.
ALTER TABLE pairing ADD COLUMN audiences BLOB;
";

impl Tx<'_> {
    /// Returns what the operator grants a device: nothing before the first grant.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn granted(&self, device: DeviceId) -> Result<Access, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT granted FROM device WHERE id = ?1")?;
        let blob: Option<Option<Vec<u8>>> =
            statement.query_row([device.as_str()], |row| row.get(0)).optional()?;
        Ok(blob.flatten().map(|blob| from_blob(&blob, "grant")).transpose()?.unwrap_or_default())
    }

    /// Replaces what the operator grants a device.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_granted(&self, device: DeviceId, granted: &Access) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE device SET granted = ?2 WHERE id = ?1",
            params![device.as_str(), to_blob(granted, "grant")?],
        )?;
        Ok(())
    }

    /// Replaces what a pairing may use of the grant.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_asked(
        &self,
        pairing: PairingId,
        scopes: &Vec<Scope>,
        audiences: &Vec<Audience>,
    ) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE pairing SET scopes = ?2, audiences = ?3 WHERE id = ?1",
            params![pairing.to_string(), to_blob(scopes, "scopes")?, to_blob(audiences, "audiences")?],
        )?;
        Ok(())
    }
}
