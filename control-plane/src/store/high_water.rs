use pawl_proto::{Epoch, Nonce};
use rusqlite::{OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::value::{from_blob, to_blob};
use super::{StoreError, Tx};

pub(super) const COURSES: &str = "
-- The runs in which a TPM was last seen, newest last.
ALTER TABLE high_water ADD COLUMN runs BLOB;
";

/// How far a TPM's time is known to have come.
///
/// Ordered as the fields stand. The epoch comes first because `TPM2_Clear`, after which the
/// counter starts above its old value, sets the two others back; resetCount comes before the
/// clock because an unclean stop can lose some of the clock, and is itself a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HighWater {
    /// The epoch counter.
    pub epoch: Epoch,
    /// The TPM's resets.
    pub reset_count: u32,
    /// The TPM's clock, milliseconds.
    pub clock: u64,
}

/// A run of a daemon, and the TPM's time in its last report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its random id.
    pub id: Nonce,
    /// The TPM's resets.
    pub reset_count: u32,
    /// The TPM's clock, milliseconds.
    pub clock: u64,
    /// When the report came, Unix milliseconds.
    pub seen_ms: u64,
    /// The TPM's time fell in this run.
    pub fell: bool,
}

impl Tx<'_> {
    /// The highest that was seen under the attestation key of this name.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn high_water(&self, ak_name: &[u8]) -> Result<Option<HighWater>, StoreError> {
        let mut statement =
            self.sql.prepare_cached("SELECT epoch, reset_count, clock FROM high_water WHERE ak_name = ?1")?;
        Ok(statement
            .query_row([ak_name], |row| {
                Ok(HighWater { epoch: Epoch(row.get(0)?), reset_count: row.get(1)?, clock: row.get(2)? })
            })
            .optional()?)
    }

    /// Remembers a new highest. The caller has compared.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn raise_high_water(&self, ak_name: &[u8], to: HighWater) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO high_water (ak_name, epoch, reset_count, clock) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (ak_name) DO UPDATE SET epoch = ?2, reset_count = ?3, clock = ?4",
            params![ak_name, to.epoch.0, to.reset_count, to.clock],
        )?;
        Ok(())
    }

    /// The runs in which the TPM with this attestation key was last seen, newest last.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn runs(&self, ak_name: &[u8]) -> Result<Vec<Run>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT runs FROM high_water WHERE ak_name = ?1")?;
        let runs: Option<Option<Vec<u8>>> = statement.query_row([ak_name], |row| row.get(0)).optional()?;
        runs.flatten().map_or_else(|| Ok(Vec::new()), |runs| from_blob(&runs, "runs"))
    }

    /// Remembers the runs of a TPM that has a high water mark.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_runs(&self, ak_name: &[u8], runs: &[Run]) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE high_water SET runs = ?2 WHERE ak_name = ?1",
            params![ak_name, to_blob(&runs, "runs")?],
        )?;
        Ok(())
    }
}
