//! The control plane's audit records of each device, the checkpoints that replace the oldest of them, and the records
//! that each device itself reports.

use pawl_proto::record::Link;
use pawl_proto::{DeviceId, Digest};
use pawl_verifier::audit::{DeviceChain, DeviceRecordRow};
use pawl_verifier::record::{Fact, Record};
use rusqlite::{OptionalExtension as _, params};

use super::{StoreError, Tx, from_bytes, from_text};
use crate::records::{Checkpoint, Place, follow};

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

    /// Returns the chain of a device as it is stored, oldest first, unverified.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn record_links(&self, device: DeviceId) -> Result<Vec<Link>, StoreError> {
        self.record_links_to(device, i64::MAX.unsigned_abs())
    }

    /// Returns the chain of a device up to the record `last`, oldest first, unverified.
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

    /// Returns the attestation keys of a device's pairings, as `TPMT_PUBLIC`.
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

    /// Verifies the chain of a device and returns its records, oldest first.
    ///
    /// # Errors
    /// [`ChainError::Broken`] at the first record whose digest does not follow from the one before.
    pub fn records(&self, device: DeviceId) -> Result<Vec<(Record, Link)>, ChainError> {
        let checkpoint = self.checkpoint(device)?;
        let places = follow(device, checkpoint.as_ref(), self.record_links(device)?).into_iter();
        let records = places.map(|Place { sequence, link, record }| {
            record.map(|record| (record, link)).ok_or(ChainError::Broken(sequence))
        });
        records.collect()
    }
}

/// Why the records of a device cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody altered or removed records.
    #[error("record {0} does not follow from the one before it: the records were altered")]
    Broken(u64),
}

impl Tx<'_> {
    /// Returns the checkpoint that replaces a device's dropped records.
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

    /// Stores a checkpoint and drops the records that it replaces, except those that it carries. Returns how many.
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

    /// Returns the devices with more than `keep` records since their checkpoint, each with the excess.
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
        let long = rows
            .into_iter()
            .map(|(device, count)| Ok((super::from_text(&device, "device id")?, count.saturating_sub(keep))));
        long.collect()
    }
}

/// The most reported records kept of one device: a year of reports every five minutes.
const MAX_RECORDS: u64 = 100_000;

impl Tx<'_> {
    /// Returns the last record that a device has reported; none before the first report with records.
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

    /// Sets the last record that a device has reported.
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

    /// Returns the digest of a reported record, if it is kept.
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

    /// Adds reported records of a device that has a chain, and drops the oldest above the limit. The first record kept
    /// still names the digest of the one before it.
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
        self.drop_oldest_records(device, kept.saturating_sub(MAX_RECORDS))
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

    /// Returns the reported records of a device that are kept, oldest first, unverified.
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
