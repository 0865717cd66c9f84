//! What stands for dropped records.

use pawl_proto::DeviceId;
use rusqlite::{OptionalExtension as _, params};

use super::{StoreError, Tx};
use crate::records::Checkpoint;

/// Version 4 of the tables.
pub(super) const CHECKPOINTS: &str = "
CREATE TABLE record_checkpoint (
    device TEXT PRIMARY KEY REFERENCES device,
    -- The last record that it stands for.
    sequence INTEGER NOT NULL,
    -- All of it, JSON.
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

impl Tx<'_> {
    /// What stands for the records of a device that were dropped.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn checkpoint(&self, device: DeviceId) -> Result<Option<Checkpoint>, StoreError> {
        let mut statement =
            self.sql.prepare_cached("SELECT body FROM record_checkpoint WHERE device = ?1")?;
        let body: Option<String> = statement.query_row([device.as_str()], |row| row.get(0)).optional()?;
        body.map(|body| serde_json::from_str(&body))
            .transpose()
            .map_err(|_| StoreError::Malformed("checkpoint of records"))
    }

    /// Drops the records that a checkpoint stands for, but for those that it carries. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn drop_records(&self, device: DeviceId, checkpoint: &Checkpoint) -> Result<u64, StoreError> {
        let body =
            serde_json::to_string(checkpoint).map_err(|_| StoreError::Malformed("checkpoint of records"))?;
        self.sql.execute(
            "INSERT INTO record_checkpoint (device, sequence, body) VALUES (?1, ?2, ?3) \
             ON CONFLICT DO UPDATE SET sequence = ?2, body = ?3",
            params![device.as_str(), checkpoint.sequence, body],
        )?;
        let mut kept = self.sql.prepare_cached(
            "SELECT sequence, digest FROM record WHERE device = ?1 AND sequence <= ?2 ORDER BY sequence",
        )?;
        let rows = kept.query_map(params![device.as_str(), checkpoint.sequence], |row| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let mut drop_one =
            self.sql.prepare_cached("DELETE FROM record WHERE device = ?1 AND sequence = ?2")?;
        let mut dropped = 0;
        for (sequence, digest) in rows.collect::<Result<Vec<_>, _>>()? {
            if !checkpoint.carried.iter().any(|carried| carried.0.as_bytes().as_slice() == digest) {
                drop_one.execute(params![device.as_str(), sequence])?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    /// The devices of which more than `keep` records follow the checkpoint, each with how many more.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn devices_with_records_above(&self, keep: u64) -> Result<Vec<(DeviceId, u64)>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT id, count FROM (SELECT id, \
                 (SELECT coalesce(max(sequence), 0) FROM record WHERE device = id) - coalesce( \
                 (SELECT sequence FROM record_checkpoint WHERE device = id), 0) AS count FROM device) \
             WHERE count > ?1",
        )?;
        let rows = statement
            .query_map([keep], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        let long = rows.into_iter().map(|(device, count)| {
            Ok((super::value::from_text(&device, "device id")?, count.saturating_sub(keep)))
        });
        long.collect()
    }
}
