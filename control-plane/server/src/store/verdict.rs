use pawl_proto::message::{TrustTier, Verdict};
use pawl_proto::{Channel, DeviceId, Topic};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx};
use super::{from_blob, from_text, to_blob};

/// An issued verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct VerdictRow {
    /// Its content.
    pub verdict: Verdict,
    /// When its lease ends by the wall clock, Unix seconds. The TPM's clock decides.
    pub lease_until: Option<u64>,
}

impl VerdictRow {
    /// Returns whether a relying party may assume at `now` that the device holds a lease.
    #[must_use]
    pub fn entitles(&self, now: u64) -> bool {
        matches!(self.verdict.result, Some(TrustTier::Affirming | TrustTier::Warning))
            && self.lease_until.is_some_and(|until| now < until)
    }
}

impl Tx<'_> {
    /// Allocates the number of a device's next verdict.
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

    /// Adds a verdict and its signed message, and removes the verdicts that it supersedes.
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

    /// Returns the last verdict of a pairing that has an attestation result.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn appraised_verdict(
        &self,
        pairing: pawl_proto::PairingId,
    ) -> Result<Option<VerdictRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT body, lease_until FROM verdict WHERE pairing = ?1 AND judged ORDER BY sequence DESC LIMIT 1",
        )?;
        statement.query_row([pairing.to_string()], |row| Ok(read_verdict(row, 0))).optional()?.transpose()
    }

    /// Returns the last verdict of a device, which carries the nonce of its next report.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn last_verdict(&self, device: DeviceId) -> Result<Option<Verdict>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT body, lease_until FROM verdict WHERE device = ?1 ORDER BY sequence DESC LIMIT 1",
        )?;
        let row =
            statement.query_row([device.as_str()], |row| Ok(read_verdict(row, 0))).optional()?.transpose()?;
        Ok(row.map(|row| row.verdict))
    }

    /// Returns topic, sequence and signed message of each device's newest verdict that the broker has not acknowledged, at
    /// most `limit`. Logs a malformed row and skips it until [`Tx::publish_verdicts_again`], so that it does not block
    /// other devices' verdicts.
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

    /// Stores that the broker has acknowledged a verdict, or that the device received it over HTTPS.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_verdict_published(&self, device: DeviceId, sequence: u64) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE verdict SET published = 1 WHERE device = ?1 AND sequence = ?2",
            params![device.as_str(), sequence],
        )?;
        Ok(())
    }

    /// Queues the newest verdict of each live pairing for publication: the broker has lost the control plane's MQTT
    /// session, and may have lost the messages for devices, too.
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

/// Reads a verdict's body, and the end of its lease in the column after it.
pub(super) fn read_verdict(row: &Row<'_>, body: usize) -> Result<VerdictRow, StoreError> {
    let verdict = from_blob(&row.get::<_, Vec<u8>>(body)?, "verdict")?;
    Ok(VerdictRow { verdict, lease_until: row.get(body + 1)? })
}
