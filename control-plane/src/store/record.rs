use pawl_proto::{DeviceId, Digest};
use rusqlite::{OptionalExtension as _, params};

use super::value::from_bytes;
use super::{StoreError, Tx};
use crate::record::{Fact, Link, Record};

impl Tx<'_> {
    /// Adds a record to the end of a device's chain.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn record(&self, device: DeviceId, time: u64, fact: Fact) -> Result<(), StoreError> {
        let last: Option<(u64, Vec<u8>)> = self
            .sql
            .prepare_cached(
                "SELECT sequence, digest FROM record WHERE device = ?1 ORDER BY sequence DESC LIMIT 1",
            )?
            .query_row([device.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (sequence, previous) = match last {
            Some((sequence, digest)) => (sequence + 1, from_bytes(&digest, "record digest")?),
            None => (1, Digest([0; 32])),
        };
        let link = Link::forge(previous, &Record { device, sequence, time, fact })
            .map_err(|_| StoreError::Malformed("record"))?;
        self.sql.execute(
            "INSERT INTO record (device, sequence, body, previous, digest) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![device.as_str(), sequence, link.body, link.previous.0, link.digest.0],
        )?;
        Ok(())
    }

    /// The records of a device, oldest first, after their chain has been checked.
    ///
    /// # Errors
    /// [`ChainError::Broken`] at the first record that does not follow from the one before.
    pub fn records(&self, device: DeviceId) -> Result<Vec<(Record, Link)>, ChainError> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT body, previous, digest FROM record WHERE device = ?1 ORDER BY sequence")
            .map_err(StoreError::from)?;
        let rows = statement
            .query_map([device.as_str()], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?))
            })
            .map_err(StoreError::from)?;
        let mut records: Vec<(Record, Link)> = Vec::new();
        for row in rows {
            let (body, previous, digest) = row.map_err(StoreError::from)?;
            let link = Link {
                body,
                previous: from_bytes(&previous, "record digest")?,
                digest: from_bytes(&digest, "record digest")?,
            };
            let sequence = u64::try_from(records.len()).unwrap_or(u64::MAX).saturating_add(1);
            let before = records.last().map_or(Digest([0; 32]), |(_, link)| link.digest);
            let record = link
                .check(before)
                .filter(|record| record.sequence == sequence && record.device == device)
                .ok_or(ChainError::Broken(sequence))?;
            records.push((record, link));
        }
        Ok(records)
    }
}

/// Records that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody altered or removed records.
    #[error("record {0} does not follow from the one before it: the records were altered")]
    Broken(u64),
}
