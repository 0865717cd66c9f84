use pawl_evidence::appraise::HighWater;
use pawl_proto::DeviceId;
use pawl_verifier::incident::{DaemonRun, TpmHistory};
use pawl_verifier::report::KeptEvidence;
use pawl_verifier::{AcceptedState, BootState};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx, from_blob, from_name, to_blob, to_name};

impl Tx<'_> {
    /// Stores an accepted boot state of a device. Returns false when it was accepted before with the same or a stronger
    /// origin.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn accept_boot_state(&self, device: DeviceId, state: &AcceptedState) -> Result<bool, StoreError> {
        let changed = self.sql.execute(
            "INSERT INTO boot_state (device, pcrs, name, origin, ahead, accepted_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET name = ?3, origin = ?4, ahead = ?5, \
             accepted_at = ?6 WHERE ?5 OR (boot_state.origin = 'first-pairing' AND ?4 <> 'first-pairing')",
            params![
                device.as_str(),
                to_blob(&state.pcrs, "boot state")?,
                state.name,
                to_name(state.by, "origin")?,
                state.ahead,
                state.accepted_at,
            ],
        )?;
        Ok(changed == 1)
    }

    /// Returns the accepted boot states of a device, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn boot_states(&self, device: DeviceId) -> Result<Vec<AcceptedState>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT name, origin, pcrs, ahead, accepted_at FROM boot_state WHERE device = ?1 \
             ORDER BY accepted_at",
        )?;
        let rows = statement.query_map([device.as_str()], |row| Ok(read_boot_state(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Clears the `ahead` mark of the accepted boot states that `quoted` reaches.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn mark_boot_states_reached(&self, device: DeviceId, quoted: &BootState) -> Result<(), StoreError> {
        let states = self.boot_states(device)?.into_iter().filter(|state| state.ahead);
        for state in states.filter(|state| state.is_reached_by(quoted)) {
            self.mark_boot_state_reached(device, &state.pcrs)?;
        }
        Ok(())
    }

    fn mark_boot_state_reached(&self, device: DeviceId, state: &BootState) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE boot_state SET ahead = 0 WHERE device = ?1 AND pcrs = ?2",
            params![device.as_str(), to_blob(state, "boot state")?],
        )?;
        Ok(())
    }

    /// Removes the boot states that were approved ahead and not reached. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn withdraw_boot_states(&self, device: DeviceId) -> Result<usize, StoreError> {
        Ok(self.sql.execute("DELETE FROM boot_state WHERE device = ?1 AND ahead", [device.as_str()])?)
    }

    /// Returns the boot state that the TPM last quoted in a report or a pairing request, accepted or not.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn reported_state(&self, device: DeviceId) -> Result<Option<BootState>, StoreError> {
        let blob: Option<Option<Vec<u8>>> = self
            .sql
            .prepare_cached("SELECT reported_state FROM device WHERE id = ?1")?
            .query_row([device.as_str()], |row| row.get(0))
            .optional()?;
        blob.flatten().map(|blob| from_blob(&blob, "boot state")).transpose()
    }

    /// Stores the boot state that the TPM last quoted.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_reported_state(&self, device: DeviceId, state: &BootState) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE device SET reported_state = ?2 WHERE id = ?1",
            params![device.as_str(), to_blob(state, "boot state")?],
        )?;
        Ok(())
    }
}

fn read_boot_state(row: &Row<'_>) -> Result<AcceptedState, StoreError> {
    Ok(AcceptedState {
        name: row.get(0)?,
        by: from_name(row.get(1)?, "origin")?,
        pcrs: from_blob(&row.get::<_, Vec<u8>>(2)?, "boot state")?,
        ahead: row.get(3)?,
        accepted_at: row.get(4)?,
    })
}

impl Tx<'_> {
    /// Replaces the last evidence of an enrolled device. Stores nothing for a device that is not enrolled.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_kept_evidence(
        &self,
        device: DeviceId,
        evidence: &KeptEvidence,
        boot_log: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let device = device.as_str();
        self.sql.execute(
            "INSERT INTO sample (device, body) SELECT id, ?2 FROM device WHERE id = ?1 \
             ON CONFLICT DO UPDATE SET body = ?2",
            params![device, to_blob(evidence, "kept evidence")?],
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

    /// Returns the last evidence of a device.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn kept_evidence(&self, device: DeviceId) -> Result<Option<KeptEvidence>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT body FROM sample WHERE device = ?1")?;
        let body: Option<Vec<u8>> = statement.query_row([device.as_str()], |row| row.get(0)).optional()?;
        body.map(|body| from_blob(&body, "kept evidence")).transpose()
    }

    /// Returns the boot event log of a device's last evidence.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn kept_boot_log(&self, device: DeviceId) -> Result<Option<Vec<u8>>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT boot_log FROM sample_log WHERE device = ?1")?;
        Ok(statement.query_row([device.as_str()], |row| row.get(0)).optional()?)
    }

    /// Returns the highest epoch, reset count and clock that the TPM of a device has quoted.
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

    /// Stores a higher point. The caller must have compared it with the stored one.
    fn raise_high_water(&self, device: DeviceId, to: HighWater) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO tpm_seen (device, epoch, reset_count, clock, clock_max) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (device) DO UPDATE SET epoch = ?2, reset_count = ?3, clock = ?4, clock_max = ?5",
            params![device.as_str(), to.epoch, to.reset_count, to.clock_ms, to.clock_max_ms],
        )?;
        Ok(())
    }

    /// Returns the history of a device's TPM.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn tpm_history(&self, device: DeviceId) -> Result<TpmHistory, StoreError> {
        Ok(TpmHistory { highest: self.high_water(device)?, runs: self.runs(device)? })
    }

    /// Replaces the history of a device's TPM.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_tpm_history(&self, device: DeviceId, history: &TpmHistory) -> Result<(), StoreError> {
        if let Some(highest) = history.highest {
            self.raise_high_water(device, highest)?;
        }
        self.set_runs(device, &history.runs)
    }

    /// Returns the last runs of the daemon that the TPM of a device reported in, newest last.
    fn runs(&self, device: DeviceId) -> Result<Vec<DaemonRun>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT runs FROM tpm_seen WHERE device = ?1")?;
        let runs: Option<Option<Vec<u8>>> =
            statement.query_row([device.as_str()], |row| row.get(0)).optional()?;
        runs.flatten().map_or_else(|| Ok(Vec::new()), |runs| from_blob(&runs, "runs"))
    }

    /// Stores the runs of a TPM that has a high water mark.
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
