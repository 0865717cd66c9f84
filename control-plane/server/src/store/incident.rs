use pawl_proto::DeviceId;
use pawl_verifier::incident::{Incident, IncidentKind};
use rusqlite::{Row, params};

use super::value::{from_name, from_text, to_name};
use super::{StoreError, Tx};

pub(super) const TABLES: &str = "
CREATE TABLE incident (
    device TEXT NOT NULL REFERENCES device,
    kind TEXT NOT NULL,
    -- The other device that it is about; empty where there is none.
    other TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    times INTEGER NOT NULL DEFAULT 1,
    settled_at INTEGER,
    settled_by TEXT
) STRICT;
-- Of each kind, one at a time is open.
CREATE UNIQUE INDEX incident_open ON incident (device, kind, other) WHERE settled_at IS NULL;
";

/// So many of a device are kept: who can ask to be paired cannot fill the disk.
const KEPT: usize = 64;

impl Tx<'_> {
    /// Notes an incident; whether it was not open before.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn note_incident(
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
            params![device.as_str(), KEPT],
        )?;
        Ok(true)
    }

    /// The incidents of a device, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn incidents(&self, device: DeviceId) -> Result<Vec<Incident>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT kind, other, detail, first_at, last_at, times, settled_at, settled_by FROM incident \
             WHERE device = ?1 ORDER BY rowid",
        )?;
        let rows = statement.query_map([device.as_str()], |row| Ok(read(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Those that nobody has dealt with.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn open_incidents(&self, device: DeviceId) -> Result<Vec<Incident>, StoreError> {
        let mut incidents = self.incidents(device)?;
        incidents.retain(|incident| incident.settled.is_none());
        Ok(incidents)
    }

    /// Settles the open incidents of a device that are of one of these kinds; how many.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn settle_incidents(
        &self,
        device: DeviceId,
        kinds: &[IncidentKind],
        how: &str,
        now: u64,
    ) -> Result<usize, StoreError> {
        let mut settled = 0;
        for kind in kinds {
            settled += self.sql.execute(
                "UPDATE incident SET settled_at = ?3, settled_by = ?4 \
                 WHERE device = ?1 AND kind = ?2 AND settled_at IS NULL",
                params![device.as_str(), to_name(kind, "incident")?, now, how],
            )?;
        }
        Ok(settled)
    }
}

fn read(row: &Row<'_>) -> Result<Incident, StoreError> {
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
