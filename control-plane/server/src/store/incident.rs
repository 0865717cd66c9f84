use pawl_proto::DeviceId;
use pawl_verifier::incident::{Incident, IncidentKind};
use rusqlite::{Row, params};

use super::{StoreError, Tx};
use super::{from_name, from_text, to_name};

/// The most incidents kept of one device: anyone who can request pairings must not fill the disk.
const MAX_INCIDENTS: usize = 64;

impl Tx<'_> {
    /// Opens an incident, or updates the open one of this kind. Returns whether it is new.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn add_incident(
        &self,
        device: DeviceId,
        kind: IncidentKind,
        other: Option<DeviceId>,
        detail: &str,
        now: u64,
    ) -> Result<bool, StoreError> {
        let (kind, about) = (to_name(kind, "incident")?, other.as_ref().map_or("", DeviceId::as_str));
        let again = self.sql.execute(
            "UPDATE incident SET detail = ?4, last_at = ?5, times = times + 1 \
             WHERE device = ?1 AND kind = ?2 AND other = ?3 AND settled_at IS NULL",
            params![device.as_str(), kind, about, detail, now],
        )?;
        if again > 0 {
            return Ok(false);
        }
        self.sql.execute(
            "INSERT INTO incident (device, kind, other, detail, first_at, last_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
            params![device.as_str(), kind, about, detail, now],
        )?;
        self.sql.execute(
            "DELETE FROM incident WHERE device = ?1 AND rowid NOT IN \
             (SELECT rowid FROM incident WHERE device = ?1 ORDER BY settled_at IS NULL DESC, rowid DESC LIMIT ?2)",
            params![device.as_str(), MAX_INCIDENTS],
        )?;
        Ok(true)
    }

    /// Returns the incidents of a device, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn incidents(&self, device: DeviceId) -> Result<Vec<Incident>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT kind, other, detail, first_at, last_at, times, settled_at, settled_by FROM incident \
             WHERE device = ?1 ORDER BY rowid",
        )?;
        let rows = statement.query_map([device.as_str()], |row| Ok(read_incident(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Returns the incidents of a device that are not resolved.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn open_incidents(&self, device: DeviceId) -> Result<Vec<Incident>, StoreError> {
        let mut incidents = self.incidents(device)?;
        incidents.retain(|incident| incident.settled.is_none());
        Ok(incidents)
    }

    /// Resolves the open incidents of a device that are of one of these kinds. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn resolve_incidents(
        &self,
        device: DeviceId,
        kinds: &[IncidentKind],
        how: &str,
        now: u64,
    ) -> Result<usize, StoreError> {
        let mut resolved = 0;
        for kind in kinds {
            resolved += self.sql.execute(
                "UPDATE incident SET settled_at = ?3, settled_by = ?4 \
                 WHERE device = ?1 AND kind = ?2 AND settled_at IS NULL",
                params![device.as_str(), to_name(kind, "incident")?, now, how],
            )?;
        }
        Ok(resolved)
    }
}

fn read_incident(row: &Row<'_>) -> Result<Incident, StoreError> {
    let other: String = row.get(1)?;
    let other = if other.is_empty() { None } else { Some(from_text(&other, "device id")?) };
    Ok(Incident {
        kind: from_name(row.get(0)?, "incident")?,
        other,
        detail: row.get(2)?,
        first_at: row.get(3)?,
        last_at: row.get(4)?,
        times: row.get(5)?,
        settled: row.get::<_, Option<u64>>(6)?.zip(row.get(7)?),
    })
}
