use pawl_proto::message::{DeviceState, Standing, Status};
use pawl_proto::{DeviceId, Digest};
use rusqlite::{OptionalExtension as _, Row, params};

use super::value::{from_bytes, from_name, from_text, known, to_name};
use super::{StoreError, Tx};

/// An enrolled device.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// SHA-256 of its endorsement key's public area.
    pub ek_sha256: Digest,
    /// What the operator calls it.
    pub label: Option<String>,
    /// When it was enrolled.
    pub enrolled_at: u64,
    /// Whether it may work.
    pub standing: Standing,
    /// Why it may not.
    pub standing_reason: Option<String>,
    /// How often it was suspended: the number of its last suspension, 0 where there was none.
    pub suspensions: u64,
    /// Which endorsement key it has; known after the first pairing.
    pub ek_kind: Option<String>,
    /// How that key was checked.
    pub endorsement: Option<String>,
    /// Whether an operator lets it pair without a TPM vendor's certificate.
    pub without_certificate: bool,
    /// The device whose place it took.
    pub replaces: Option<DeviceId>,
    /// The device that took its place.
    pub replaced_by: Option<DeviceId>,
    /// What it last said of itself; a hint.
    pub last_seen: Option<LastSeen>,
}

/// The last status message of a device. It is not signed, so it is shown and decides nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct LastSeen {
    /// Whether it was connected.
    pub online: bool,
    /// Its state.
    pub state: DeviceState,
    /// When the message came.
    pub at: u64,
}

const COLUMNS: &str = "id, ek_sha256, label, enrolled_at, standing, standing_reason, ek_kind, endorsement, online, \
                       state, seen, replaces, replaced_by, without_certificate, suspensions";

/// Version 4 of the tables.
pub(super) const WITHOUT_CERTIFICATE: &str = "
ALTER TABLE device ADD COLUMN without_certificate INTEGER NOT NULL DEFAULT 0;
";

/// Version 4 of the tables.
pub(super) const SUSPENSIONS: &str = "
ALTER TABLE device ADD COLUMN suspensions INTEGER NOT NULL DEFAULT 0;
UPDATE device SET suspensions = 1 WHERE standing = 'suspended';
";

impl Tx<'_> {
    /// Enrols a device, or renames one that is enrolled. True when it is new.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn enrol(&self, ek_sha256: Digest, label: Option<&str>, now: u64) -> Result<bool, StoreError> {
        let id = DeviceId::from_digest(ek_sha256.0);
        let added = self.sql.execute(
            "INSERT INTO device (id, ek_sha256, label, enrolled_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            params![id.as_str(), ek_sha256.0, label, now],
        )?;
        if added == 0 && label.is_some() {
            self.sql.execute("UPDATE device SET label = ?2 WHERE id = ?1", params![id.as_str(), label])?;
        }
        Ok(added == 1)
    }

    /// The device with this id.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn device(&self, id: DeviceId) -> Result<Option<Device>, StoreError> {
        let mut statement =
            self.sql.prepare_cached(&format!("SELECT {COLUMNS} FROM device WHERE id = ?1"))?;
        statement.query_row([id.as_str()], |row| Ok(read(row))).optional()?.transpose()
    }

    /// Every device, by id.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn devices(&self) -> Result<Vec<Device>, StoreError> {
        let mut statement = self.sql.prepare(&format!("SELECT {COLUMNS} FROM device ORDER BY id"))?;
        let rows = statement.query_map([], |row| Ok(read(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Lets a device work, or suspends it. Each suspension, also of a suspended device, gets the next number.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_standing(
        &self,
        id: DeviceId,
        standing: Standing,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE device SET standing = ?2, standing_reason = ?3, suspensions = suspensions + ?4 WHERE id = ?1",
            params![
                id.as_str(),
                to_name(standing, "standing")?,
                reason,
                u8::from(standing == Standing::Suspended)
            ],
        )?;
        Ok(())
    }

    /// Remembers how an endorsement key was checked.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_endorsement(&self, id: DeviceId, ek_kind: &str, endorsement: &str) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE device SET ek_kind = ?2, endorsement = ?3 WHERE id = ?1",
            params![id.as_str(), ek_kind, endorsement],
        )?;
        Ok(())
    }

    /// Lets a device pair without a vendor's certificate, or no longer. True when that changes something.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_without_certificate(&self, id: DeviceId, exempt: bool) -> Result<bool, StoreError> {
        let changed = self.sql.execute(
            "UPDATE device SET without_certificate = ?2 WHERE id = ?1 AND without_certificate <> ?2",
            params![id.as_str(), exempt],
        )?;
        Ok(changed == 1)
    }

    /// Remembers that `new` took the place of `old`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_replaced(&self, old: DeviceId, new: DeviceId) -> Result<(), StoreError> {
        let (old, new) = (old.as_str(), new.as_str());
        self.sql.execute("UPDATE device SET replaced_by = ?2 WHERE id = ?1", [old, new])?;
        self.sql.execute("UPDATE device SET replaces = ?2 WHERE id = ?1", [new, old])?;
        Ok(())
    }

    /// Remembers what a device says of itself.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn saw(&self, status: &Status, now: u64) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE device SET online = ?2, state = ?3, seen = ?4 WHERE id = ?1",
            params![status.device.as_str(), status.online, to_name(status.state, "device state")?, now],
        )?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> Result<Device, StoreError> {
    let last_seen = match (row.get(8)?, row.get(9)?, row.get(10)?) {
        (Some(online), Some(state), Some(at)) => {
            Some(LastSeen { online, state: from_name(state, "device state")?, at })
        }
        _ => None,
    };
    let other = |column| -> Result<Option<DeviceId>, StoreError> {
        row.get::<_, Option<String>>(column)?.map(|id| from_text(&id, "device id")).transpose()
    };
    Ok(Device {
        replaces: other(11)?,
        replaced_by: other(12)?,
        id: from_text(&row.get::<_, String>(0)?, "device id")?,
        ek_sha256: from_bytes(&row.get::<_, Vec<u8>>(1)?, "digest")?,
        label: row.get(2)?,
        enrolled_at: row.get(3)?,
        standing: from_name(row.get(4)?, "standing")
            .and_then(|standing: Standing| known(standing, standing.is_known(), "standing"))?,
        standing_reason: row.get(5)?,
        suspensions: row.get(14)?,
        ek_kind: row.get(6)?,
        endorsement: row.get(7)?,
        without_certificate: row.get(13)?,
        last_seen,
    })
}
