use pawl_proto::message::{TrustTier, Verdict};
use pawl_proto::{Channel, DeviceId, Topic};
use rusqlite::{OptionalExtension as _, Row, params};

use super::value::{from_blob, from_text, to_blob};
use super::{StoreError, Tx};

/// A verdict as it was given.
#[derive(Clone, Debug, PartialEq)]
pub struct VerdictRow {
    /// What it says.
    pub verdict: Verdict,
    /// When its lease runs out by the wall clock, if it has one; the TPM's clock decides.
    pub lease_until: Option<u64>,
}

impl VerdictRow {
    /// Whether the device holds a lease that a relying party may count on at `now`.
    #[must_use]
    pub fn entitles(&self, now: u64) -> bool {
        matches!(self.verdict.result, Some(TrustTier::Affirming | TrustTier::Warning))
            && self.lease_until.is_some_and(|until| now < until)
    }
}

/// Version 4 of the tables. Verdicts of earlier versions have no entitlement and cannot be read. They are dropped: each
/// device gets a new one with its next report, and their numbers go on (`device.verdict_sequence`).
pub(super) const UNREADABLE: &str = "DELETE FROM verdict;";

impl Tx<'_> {
    /// The number of the next verdict of a device. It is given out once.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn next_verdict_sequence(&self, device: DeviceId) -> Result<u64, StoreError> {
        Ok(self.sql.query_row(
            "UPDATE device SET verdict_sequence = verdict_sequence + 1 WHERE id = ?1 RETURNING verdict_sequence",
            [device.as_str()],
            |row| row.get(0),
        )?)
    }

    /// Adds a verdict and its signed message, and forgets those that it makes history.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn add_verdict(&self, row: &VerdictRow, message: &[u8]) -> Result<(), StoreError> {
        let verdict = &row.verdict;
        let judged = verdict.result.is_some();
        self.sql.execute(
            "INSERT INTO verdict (device, sequence, pairing, judged, lease_until, body, message) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                verdict.device.as_str(),
                verdict.sequence,
                verdict.pairing.to_string(),
                judged,
                row.lease_until,
                to_blob(verdict, "verdict")?,
                message,
            ],
        )?;
        self.sql.execute(
            "DELETE FROM verdict WHERE device = ?1 AND sequence < ?2 AND (?3 OR NOT judged)",
            params![verdict.device.as_str(), verdict.sequence, judged],
        )?;
        Ok(())
    }

    /// The last verdict of a pairing that judged a report.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn judged(&self, pairing: pawl_proto::PairingId) -> Result<Option<VerdictRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT body, lease_until FROM verdict WHERE pairing = ?1 AND judged ORDER BY sequence DESC LIMIT 1",
        )?;
        statement.query_row([pairing.to_string()], |row| Ok(read(row))).optional()?.transpose()
    }

    /// The last verdict of a device, which gave out the nonce of its next report.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn last_verdict(&self, device: DeviceId) -> Result<Option<Verdict>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT body, lease_until FROM verdict WHERE device = ?1 ORDER BY sequence DESC LIMIT 1",
        )?;
        let row = statement.query_row([device.as_str()], |row| Ok(read(row))).optional()?.transpose()?;
        Ok(row.map(|row| row.verdict))
    }

    /// The newest verdicts that the broker has not taken yet, one for each device, at most
    /// `limit`: topic, sequence and signed message. A malformed row is logged and set aside until
    /// [`Tx::publish_verdicts_again`]: verdicts for other devices do not wait for it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn unpublished_verdicts(&self, limit: usize) -> Result<Vec<(Topic, u64, Vec<u8>)>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT verdict.device, verdict.sequence, message FROM verdict JOIN device ON device.id = verdict.device \
             AND device.verdict_sequence = verdict.sequence WHERE NOT published LIMIT ?1",
        )?;
        let rows = statement.query_map([limit], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?, row.get::<_, Vec<u8>>(2)?))
        })?;
        let mut verdicts = Vec::new();
        for row in rows.collect::<Result<Vec<_>, _>>()? {
            let (device, sequence, message) = row;
            match from_text(&device, "device id") {
                Ok(device) => verdicts.push((Topic::new(device, Channel::Verdict), sequence, message)),
                Err(error) => {
                    tracing::error!(device, sequence, %error, "a verdict is not published");
                    self.sql.execute("UPDATE verdict SET published = 1 WHERE device = ?1", [device])?;
                }
            }
        }
        Ok(verdicts)
    }

    /// The broker has taken this verdict, or the device got it otherwise.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn verdict_published(&self, device: DeviceId, sequence: u64) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE verdict SET published = 1 WHERE device = ?1 AND sequence = ?2",
            params![device.as_str(), sequence],
        )?;
        Ok(())
    }

    /// The broker lost what it held: the newest verdict of each live pairing is published again.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn publish_verdicts_again(&self) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE verdict SET published = 0 WHERE pairing IN (SELECT id FROM pairing WHERE state = 'live')",
            [],
        )?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> Result<VerdictRow, StoreError> {
    Ok(VerdictRow { verdict: from_blob(&row.get::<_, Vec<u8>>(0)?, "verdict")?, lease_until: row.get(1)? })
}
