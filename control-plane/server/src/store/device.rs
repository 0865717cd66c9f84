use pawl_proto::message::{Access, Audience, DeviceState, Scope, Standing, Status};
use pawl_proto::{DeviceId, Digest, PairingId};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx, from_blob, from_bytes, from_name, from_text, require_known, to_blob, to_name};

/// An enrolled device.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// SHA-256 of its endorsement key's public area.
    pub ek_sha256: Digest,
    /// The operator's name for it.
    pub label: Option<String>,
    /// When it was enrolled.
    pub enrolled_at: u64,
    /// Whether it is active or suspended.
    pub standing: Standing,
    /// Why it is suspended.
    pub standing_reason: Option<String>,
    /// How often it was suspended; a suspension is resumed by this number.
    pub suspensions: u64,
    /// Algorithm of its endorsement key; none before the first pairing.
    pub ek_kind: Option<String>,
    /// How the endorsement key was verified.
    pub endorsement: Option<String>,
    /// Whether the operator lets it pair without a TPM vendor's certificate.
    pub without_certificate: bool,
    /// The device that it replaced.
    pub replaces: Option<DeviceId>,
    /// The device that replaced it.
    pub replaced_by: Option<DeviceId>,
    /// When it was retired, Unix seconds; none while it is enrolled.
    pub retired_at: Option<u64>,
    /// Its last status message.
    pub last_seen: Option<LastSeen>,
}

impl Device {
    /// Returns whether an operator retired it: it may not pair until it is enrolled again.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired_at.is_some()
    }
}

/// The last status message of a device. It is not signed: it is shown to operators and decides nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct LastSeen {
    /// Whether it was connected.
    pub online: bool,
    /// Its state.
    pub state: DeviceState,
    /// When the message was received.
    pub at: u64,
}

pub(super) const COLUMNS: &str = "device.id, device.ek_sha256, device.label, device.enrolled_at, device.standing, \
                                  device.standing_reason, device.ek_kind, device.endorsement, device.online, \
                                  device.state, device.seen, device.replaces, device.replaced_by, \
                                  device.without_certificate, device.suspensions, device.retired_at";
pub(super) const COLUMN_COUNT: usize = 16;

impl Tx<'_> {
    /// Enrols a device, also one that was retired or deleted, or relabels an enrolled one. Returns whether it was not enrolled
    /// before.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn enrol(&self, ek_sha256: Digest, label: Option<&str>, now: u64) -> Result<bool, StoreError> {
        let id = DeviceId::from_digest(ek_sha256.0);
        let added = self.sql.execute(
            "INSERT INTO device (id, ek_sha256, label, enrolled_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            params![id.as_str(), ek_sha256.0, label, now],
        )?;
        let returned = self.sql.execute(
            "UPDATE device SET retired_at = NULL, deleted_at = NULL, standing = 'active', standing_reason = NULL, \
             enrolled_at = ?2 WHERE id = ?1 AND (retired_at IS NOT NULL OR deleted_at IS NOT NULL)",
            params![id.as_str(), now],
        )?;
        if added == 0 && label.is_some() {
            self.set_label(id, label)?;
        }
        self.remove_pending_device(id)?;
        Ok(added + returned > 0)
    }

    /// Returns the device with this id, also a retired one; none if it was deleted.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn device(&self, id: DeviceId) -> Result<Option<Device>, StoreError> {
        let mut statement = self
            .sql
            .prepare_cached(&format!("SELECT {COLUMNS} FROM device WHERE id = ?1 AND deleted_at IS NULL"))?;
        statement.query_row([id.as_str()], |row| Ok(read_device(row))).optional()?.transpose()
    }

    /// Returns the device with this id if it is enrolled: neither retired nor deleted.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn enrolled_device(&self, id: DeviceId) -> Result<Option<Device>, StoreError> {
        Ok(self.device(id)?.filter(|device| !device.is_retired()))
    }

    /// Sets a device's standing. Each suspension, even of a suspended device, increments `suspensions`.
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

    /// Stores how an endorsement key was verified.
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

    /// Sets whether a device may pair without a vendor's certificate. Returns whether that changed.
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

    /// Stores that `new` replaced `old`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_replaced(&self, old: DeviceId, new: DeviceId) -> Result<(), StoreError> {
        let (old, new) = (old.as_str(), new.as_str());
        self.sql.execute("UPDATE device SET replaced_by = ?2 WHERE id = ?1", [old, new])?;
        self.sql.execute("UPDATE device SET replaces = ?2 WHERE id = ?1", [new, old])?;
        Ok(())
    }

    /// Stores a device's status message.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_last_seen(&self, status: &Status, now: u64) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE device SET online = ?2, state = ?3, seen = ?4 WHERE id = ?1 AND deleted_at IS NULL",
            params![status.device.as_str(), status.online, to_name(status.state, "device state")?, now],
        )?;
        Ok(())
    }
}

pub(super) fn read_device(row: &Row<'_>) -> Result<Device, StoreError> {
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
            .and_then(|standing: Standing| require_known(standing, standing.is_known(), "standing"))?,
        standing_reason: row.get(5)?,
        suspensions: row.get(14)?,
        ek_kind: row.get(6)?,
        endorsement: row.get(7)?,
        without_certificate: row.get(13)?,
        retired_at: row.get(15)?,
        last_seen,
    })
}

impl Tx<'_> {
    /// Returns the scopes and audiences that the operator grants a device: none before the first grant.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn granted(&self, device: DeviceId) -> Result<Access, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT granted FROM device WHERE id = ?1")?;
        let blob: Option<Option<Vec<u8>>> =
            statement.query_row([device.as_str()], |row| row.get(0)).optional()?;
        Ok(blob.flatten().map(|blob| from_blob(&blob, "grant")).transpose()?.unwrap_or_default())
    }

    /// Replaces the scopes and audiences that the operator grants a device.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_granted(&self, device: DeviceId, granted: &Access) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE device SET granted = ?2 WHERE id = ?1",
            params![device.as_str(), to_blob(granted, "grant")?],
        )?;
        Ok(())
    }

    /// Replaces the scopes and audiences that a pairing asked for.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_asked(
        &self,
        pairing: PairingId,
        scopes: &Vec<Scope>,
        audiences: &Vec<Audience>,
    ) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE pairing SET scopes = ?2, audiences = ?3 WHERE id = ?1",
            params![pairing.to_string(), to_blob(scopes, "scopes")?, to_blob(audiences, "audiences")?],
        )?;
        Ok(())
    }
}
