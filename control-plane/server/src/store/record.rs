use pawl_proto::DeviceId;
use pawl_proto::record::Link;
use rusqlite::{OptionalExtension as _, params};

use super::value::from_bytes;
use super::{StoreError, Tx};
use crate::records::{Place, follow};
use pawl_verifier::record::{Fact, Record};

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
            None => (1, Link::START),
        };
        let link = Link::forge(previous, &Record { device, sequence, time, fact })
            .map_err(|_| StoreError::Malformed("record"))?;
        self.sql.execute(
            "INSERT INTO record (device, sequence, body, previous, digest) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![device.as_str(), sequence, link.body, link.previous.0, link.digest.0],
        )?;
        Ok(())
    }

    /// The chain of a device as it is stored, oldest first. Nothing about it is checked here.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn record_links(&self, device: DeviceId) -> Result<Vec<Link>, StoreError> {
        self.record_links_to(device, i64::MAX.unsigned_abs())
    }

    /// The same up to the record of this sequence.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn record_links_to(&self, device: DeviceId, last: u64) -> Result<Vec<Link>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT body, previous, digest FROM record WHERE device = ?1 AND sequence <= ?2 ORDER BY sequence",
        )?;
        let mut rows = statement.query(params![device.as_str(), last])?;
        let mut links = Vec::new();
        while let Some(row) = rows.next()? {
            links.push(Link {
                body: row.get(0)?,
                previous: from_bytes(&row.get::<_, Vec<u8>>(1)?, "record digest")?,
                digest: from_bytes(&row.get::<_, Vec<u8>>(2)?, "record digest")?,
            });
        }
        Ok(links)
    }

    /// The attestation keys under which a device was paired, `TPMT_PUBLIC`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn attestation_keys(&self, device: DeviceId) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT DISTINCT attestation_key FROM pairing WHERE device = ?1 ORDER BY 1")?;
        let keys = statement.query_map([device.as_str()], |row| row.get(0))?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// The records of a device, oldest first, after their chain has been checked.
    ///
    /// # Errors
    /// [`ChainError::Broken`] at the first record that does not follow from the one before.
    pub fn records(&self, device: DeviceId) -> Result<Vec<(Record, Link)>, ChainError> {
        let checkpoint = self.checkpoint(device)?;
        let places = follow(device, checkpoint.as_ref(), self.record_links(device)?).into_iter();
        let records = places.map(|Place { sequence, link, record }| {
            record.map(|record| (record, link)).ok_or(ChainError::Broken(sequence))
        });
        records.collect()
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
