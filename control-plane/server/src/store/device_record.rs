use pawl_proto::record::Link;
use pawl_proto::{DeviceId, Digest};
use pawl_verifier::audit::{DeviceChain, DeviceRecordRow};
use rusqlite::{OptionalExtension as _, params};

use super::value::{from_bytes, from_text};
use super::{StoreError, Tx};

/// So many records of one device are kept: a year of reports every five minutes.
const KEPT: u64 = 100_000;

pub(super) const TABLES: &str = "
-- How far a device's own records are known.
CREATE TABLE device_chain (
    device TEXT PRIMARY KEY REFERENCES device,
    -- Which of its chains; another one begins with a pairing.
    chain INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    digest BLOB NOT NULL,
    -- The records in device_record, of all its chains.
    kept INTEGER NOT NULL DEFAULT 0,
    -- What was found wrong last, until a good report: it is recorded once.
    noted TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE device_record (
    device TEXT NOT NULL REFERENCES device,
    chain INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    -- In whose report it came, and when.
    pairing TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    previous BLOB NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (device, chain, sequence)
) STRICT, WITHOUT ROWID;
";

impl Tx<'_> {
    /// How far a device's records are known; none before the first report that had any.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn device_chain(&self, device: DeviceId) -> Result<Option<DeviceChain>, StoreError> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT chain, sequence, digest, noted FROM device_chain WHERE device = ?1")?;
        let row = statement
            .query_row([device.as_str()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?, row.get(3)?))
            })
            .optional()?;
        row.map(|(chain, sequence, digest, noted)| {
            Ok(DeviceChain { chain, sequence, digest: from_bytes(&digest, "record digest")?, noted })
        })
        .transpose()
    }

    /// Sets how far a device's records are known.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_device_chain(&self, device: DeviceId, to: &DeviceChain) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO device_chain (device, chain, sequence, digest, noted) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (device) DO UPDATE SET chain = ?2, sequence = ?3, digest = ?4, noted = ?5",
            params![device.as_str(), to.chain, to.sequence, to.digest.0, to.noted],
        )?;
        Ok(())
    }

    /// The digest of a record, if it is kept.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn device_record_digest(
        &self,
        device: DeviceId,
        chain: u32,
        sequence: u64,
    ) -> Result<Option<Digest>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT digest FROM device_record WHERE device = ?1 AND chain = ?2 AND sequence = ?3",
        )?;
        let digest: Option<Vec<u8>> =
            statement.query_row(params![device.as_str(), chain, sequence], |row| row.get(0)).optional()?;
        digest.map(|digest| from_bytes(&digest, "record digest")).transpose()
    }

    /// Adds records of a device, whose chain is there already. The oldest make room: what is kept
    /// still says, in its first record, on which digest it follows.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn add_device_records(&self, device: DeviceId, rows: &[DeviceRecordRow]) -> Result<(), StoreError> {
        let mut statement = self.sql.prepare_cached(
            "INSERT INTO device_record (device, chain, sequence, pairing, received_at, body, previous, digest) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        for row in rows {
            statement.execute(params![
                device.as_str(),
                row.chain,
                row.sequence,
                row.pairing.to_string(),
                row.received_at,
                row.link.body,
                row.link.previous.0,
                row.link.digest.0,
            ])?;
        }
        let kept: u64 = self.sql.query_row(
            "UPDATE device_chain SET kept = kept + ?2 WHERE device = ?1 RETURNING kept",
            params![device.as_str(), rows.len()],
            |row| row.get(0),
        )?;
        self.drop_oldest_records(device, kept.saturating_sub(KEPT))
    }

    pub(super) fn drop_oldest_records(&self, device: DeviceId, count: u64) -> Result<(), StoreError> {
        if count == 0 {
            return Ok(());
        }
        self.sql.execute(
            "DELETE FROM device_record WHERE device = ?1 AND (chain, sequence) IN \
             (SELECT chain, sequence FROM device_record WHERE device = ?1 ORDER BY chain, sequence LIMIT ?2)",
            params![device.as_str(), count],
        )?;
        self.sql.execute(
            "UPDATE device_chain SET kept = kept - ?2 WHERE device = ?1",
            params![device.as_str(), count],
        )?;
        Ok(())
    }

    /// The records of a device that are kept, oldest first. Nothing about them is checked here.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn device_records(&self, device: DeviceId) -> Result<Vec<DeviceRecordRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT chain, sequence, pairing, received_at, body, previous, digest FROM device_record \
             WHERE device = ?1 ORDER BY chain, sequence",
        )?;
        let mut rows = statement.query([device.as_str()])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(DeviceRecordRow {
                chain: row.get(0)?,
                sequence: row.get(1)?,
                pairing: from_text(&row.get::<_, String>(2)?, "pairing id")?,
                received_at: row.get(3)?,
                link: Link {
                    body: row.get(4)?,
                    previous: from_bytes(&row.get::<_, Vec<u8>>(5)?, "record digest")?,
                    digest: from_bytes(&row.get::<_, Vec<u8>>(6)?, "record digest")?,
                },
            });
        }
        Ok(records)
    }
}
