use pawl_evidence::appraise::HighWater;
use pawl_proto::DeviceId;
use pawl_verifier::incident::{DaemonRun, TpmHistory};
use rusqlite::{OptionalExtension as _, params};

use super::value::{from_blob, to_blob};
use super::{StoreError, Tx};

pub(super) const COURSES: &str = "
-- The runs in which a TPM was last seen, newest last.
ALTER TABLE high_water ADD COLUMN runs BLOB;
";

/// What was seen of a TPM was kept by the name of its attestation key, of which a TPM can have many. The record of a
/// pairing says whose key that was.
pub(super) const BY_DEVICE: &str = "
CREATE TABLE tpm_seen (
    -- The device id follows from the endorsement key.
    device TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    reset_count INTEGER NOT NULL,
    clock INTEGER NOT NULL,
    -- The highest clock in that epoch.
    clock_max INTEGER NOT NULL,
    -- The runs in which it was last seen, newest last.
    runs BLOB
) STRICT, WITHOUT ROWID;
WITH paired AS MATERIALIZED (
    SELECT device, body FROM record WHERE instr(body, CAST('attestation_key' AS BLOB)) > 0
)
INSERT OR REPLACE INTO tpm_seen (device, epoch, reset_count, clock, clock_max, runs)
    SELECT paired.device, high_water.epoch, reset_count, clock, clock, runs
    FROM high_water JOIN paired ON instr(paired.body, CAST(lower(hex(ak_name)) AS BLOB)) > 0
    ORDER BY high_water.epoch, reset_count, clock;
DROP TABLE high_water;
";

impl Tx<'_> {
    /// Returns the latest point at which the TPM of a device was seen.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn high_water(&self, device: DeviceId) -> Result<Option<HighWater>, StoreError> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT epoch, reset_count, clock, clock_max FROM tpm_seen WHERE device = ?1")?;
        Ok(statement
            .query_row([device.as_str()], |row| {
                Ok(HighWater {
                    epoch: row.get(0)?,
                    reset_count: row.get(1)?,
                    clock_ms: row.get(2)?,
                    clock_max_ms: row.get(3)?,
                })
            })
            .optional()?)
    }

    /// Remembers a later point. The caller has compared.
    fn raise_high_water(&self, device: DeviceId, to: HighWater) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO tpm_seen (device, epoch, reset_count, clock, clock_max) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (device) DO UPDATE SET epoch = ?2, reset_count = ?3, clock = ?4, clock_max = ?5",
            params![device.as_str(), to.epoch, to.reset_count, to.clock_ms, to.clock_max_ms],
        )?;
        Ok(())
    }

    /// Returns what was seen of the TPM of a device.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn tpm_history(&self, device: DeviceId) -> Result<TpmHistory, StoreError> {
        Ok(TpmHistory { highest: self.high_water(device)?, runs: self.runs(device)? })
    }

    /// Replaces what was seen of the TPM of a device.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_tpm_history(&self, device: DeviceId, history: &TpmHistory) -> Result<(), StoreError> {
        if let Some(highest) = history.highest {
            self.raise_high_water(device, highest)?;
        }
        self.set_runs(device, &history.runs)
    }

    /// Returns the runs in which the TPM of a device was last seen, newest last.
    fn runs(&self, device: DeviceId) -> Result<Vec<DaemonRun>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT runs FROM tpm_seen WHERE device = ?1")?;
        let runs: Option<Option<Vec<u8>>> =
            statement.query_row([device.as_str()], |row| row.get(0)).optional()?;
        runs.flatten().map_or_else(|| Ok(Vec::new()), |runs| from_blob(&runs, "runs"))
    }

    /// Remembers the runs of a TPM that has a high water mark.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_runs(&self, device: DeviceId, runs: &[DaemonRun]) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE tpm_seen SET runs = ?2 WHERE device = ?1",
            params![device.as_str(), to_blob(&runs, "runs")?],
        )?;
        Ok(())
    }
}
