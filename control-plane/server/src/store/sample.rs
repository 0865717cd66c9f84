use pawl_proto::DeviceId;
use pawl_verifier::report::KeptEvidence;
use rusqlite::{OptionalExtension as _, params};

use super::value::{from_blob, to_blob};
use super::{StoreError, Tx};

pub(super) const TABLES: &str = "
-- What a device last showed, refused or not.
CREATE TABLE sample (
    device TEXT PRIMARY KEY REFERENCES device,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The boot event log of it, apart because it is large and stays the same until the next boot.
CREATE TABLE sample_log (
    device TEXT PRIMARY KEY REFERENCES device,
    boot_log BLOB NOT NULL
) STRICT;
";

impl Tx<'_> {
    /// Keeps what a device has shown, in place of what it had shown before. Of a device that nobody enrolled
    /// nothing is kept.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_sample(
        &self,
        device: DeviceId,
        evidence: &KeptEvidence,
        boot_log: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let device = device.as_str();
        self.sql.execute(
            "INSERT INTO sample (device, body) SELECT id, ?2 FROM device WHERE id = ?1 \
             ON CONFLICT DO UPDATE SET body = ?2",
            params![device, to_blob(evidence, "sample")?],
        )?;
        match boot_log {
            Some(log) => self.sql.execute(
                "INSERT INTO sample_log (device, boot_log) SELECT id, ?2 FROM device WHERE id = ?1 \
                 ON CONFLICT DO UPDATE SET boot_log = ?2 WHERE boot_log <> ?2",
                params![device, log],
            )?,
            None => self.sql.execute("DELETE FROM sample_log WHERE device = ?1", [device])?,
        };
        Ok(())
    }

    /// What a device last showed.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn sample(&self, device: DeviceId) -> Result<Option<KeptEvidence>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT body FROM sample WHERE device = ?1")?;
        let body: Option<Vec<u8>> = statement.query_row([device.as_str()], |row| row.get(0)).optional()?;
        body.map(|body| from_blob(&body, "sample")).transpose()
    }

    /// The boot event log of what a device last showed, if it has one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn sample_log(&self, device: DeviceId) -> Result<Option<Vec<u8>>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT boot_log FROM sample_log WHERE device = ?1")?;
        Ok(statement.query_row([device.as_str()], |row| row.get(0)).optional()?)
    }
}
