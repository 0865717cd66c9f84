//! Pairings, their last reports, and their link certificates.

use pawl_proto::message::{HostFacts, HostHealth};
use pawl_proto::{DeviceId, Epoch, Nonce, PairingId};
use pawl_verifier::pairing::{Base, Pairing, PairingState};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx, from_blob, from_bytes, from_name, from_text, to_blob, to_name};

/// The last report of a pairing, as it is shown to operators.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// When it was received, Unix seconds.
    pub at: u64,
    /// Length of the message.
    pub bytes: u64,
    /// Whether it was a whole one.
    pub whole: bool,
    /// How many reports of this pairing were accepted.
    pub count: u64,
    /// The host facts that the device last sent; not attested.
    pub host: HostFacts,
    /// The host's health that the device last sent; not attested.
    pub health: Option<HostHealth>,
}

/// An appraised report, for [`Tx::store_report`].
#[derive(Clone, Copy, Debug)]
pub struct NewReport<'a> {
    /// When it was received, Unix seconds.
    pub at: u64,
    /// Length of the message.
    pub bytes: usize,
    /// Whether it was a whole one.
    pub whole: bool,
    /// The host facts, unless the report leaves them out.
    pub host: Option<&'a HostFacts>,
    /// The host's health, unless the report leaves it out.
    pub health: Option<&'a HostHealth>,
}

const COLUMNS: &str = "id, device, epoch, state, paired_at, ended_at, scopes, attestation_key, counter, device_key, \
                       policy_ref, nonce, base, action_key, audiences";

impl Tx<'_> {
    /// Adds a pairing.
    ///
    /// # Errors
    /// [`StoreError`], for example when the device already has one in that epoch.
    pub fn add_pairing(&self, pairing: &Pairing) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO pairing (id, device, epoch, state, paired_at, scopes, attestation_key, counter, \
             device_key, policy_ref, nonce, base, action_key, audiences) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            params![
                pairing.id.to_string(),
                pairing.device.as_str(),
                pairing.epoch.0,
                to_name(pairing.state, "pairing state")?,
                pairing.paired_at,
                to_blob(&pairing.scopes, "scopes")?,
                pairing.attestation_key,
                pairing.counter,
                pairing.device_key,
                pairing.policy_ref.0,
                pairing.nonce.0,
                pairing.base.as_ref().map(|base| to_blob(base, "base")).transpose()?,
                pairing.action_key,
                to_blob(&pairing.audiences, "audiences")?,
            ],
        )?;
        Ok(())
    }

    /// Returns the pairing of a device with the highest epoch, even if it has ended.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn newest_pairing(&self, device: DeviceId) -> Result<Option<Pairing>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM pairing WHERE device = ?1 ORDER BY epoch DESC LIMIT 1"
        ))?;
        statement.query_row([device.as_str()], |row| Ok(read_pairing(row))).optional()?.transpose()
    }

    /// Returns the live pairing of a device.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn live_pairing(&self, device: DeviceId) -> Result<Option<Pairing>, StoreError> {
        Ok(self.newest_pairing(device)?.filter(|pairing| pairing.state == PairingState::Live))
    }

    /// Returns the pairing with this id.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn pairing(&self, id: PairingId) -> Result<Option<Pairing>, StoreError> {
        let mut statement =
            self.sql.prepare_cached(&format!("SELECT {COLUMNS} FROM pairing WHERE id = ?1"))?;
        statement.query_row([id.to_string()], |row| Ok(read_pairing(row))).optional()?.transpose()
    }

    /// Marks that an event orders the end of a pairing.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn begin_revoking(&self, id: PairingId) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE pairing SET state = 'revoking' WHERE id = ?1 AND state = 'live'",
            [id.to_string()],
        )?;
        Ok(())
    }

    /// Marks every pairing of a device whose epoch is below `epoch` as ended: the TPM has proven that its counter has
    /// reached `epoch`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn end_pairings_below(&self, device: DeviceId, epoch: Epoch, now: u64) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE pairing SET state = 'ended', ended_at = ?3 WHERE device = ?1 AND epoch < ?2 \
             AND state <> 'ended'",
            params![device.as_str(), epoch.0, now],
        )?;
        Ok(())
    }

    /// Sets the nonce of the next report.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_nonce(&self, id: PairingId, nonce: Nonce) -> Result<(), StoreError> {
        self.sql.execute("UPDATE pairing SET nonce = ?2 WHERE id = ?1", params![id.to_string(), nonce.0])?;
        Ok(())
    }

    /// Returns the firmware's event log of the last whole report.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn boot_log(&self, id: PairingId) -> Result<Option<Vec<u8>>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT boot_log FROM pairing WHERE id = ?1")?;
        Ok(statement.query_row([id.to_string()], |row| row.get(0))?)
    }

    /// Stores the firmware's event log of a whole report.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_boot_log(&self, id: PairingId, log: Option<&[u8]>) -> Result<(), StoreError> {
        self.sql.execute("UPDATE pairing SET boot_log = ?2 WHERE id = ?1", params![id.to_string(), log])?;
        Ok(())
    }

    /// Returns the last report of a pairing.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn reported(&self, id: PairingId) -> Result<Option<Reported>, StoreError> {
        let mut statement =
            self.sql.prepare_cached(&format!("SELECT {REPORTED_COLUMNS} FROM pairing WHERE id = ?1"))?;
        let row = statement.query_row([id.to_string()], |row| Ok(read_reported(row, 0))).optional()?;
        Ok(row.transpose()?.flatten())
    }

    /// Stores an appraised report, on which the next one builds. Parts that it leaves out keep their stored values.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn store_report(&self, id: PairingId, base: &Base, report: NewReport<'_>) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE pairing SET base = ?2, report_bytes = ?3, report_whole = ?4, reported_at = ?5, \
             reports = reports + 1, host = coalesce(?6, host), health = coalesce(?7, health) WHERE id = ?1",
            params![
                id.to_string(),
                to_blob(base, "base")?,
                report.bytes,
                report.whole,
                report.at,
                report.host.map(|host| to_blob(host, "host facts")).transpose()?,
                report.health.map(|health| to_blob(health, "host health")).transpose()?,
            ],
        )?;
        Ok(())
    }
}

fn read_pairing(row: &Row<'_>) -> Result<Pairing, StoreError> {
    let base: Option<Vec<u8>> = row.get(12)?;
    let audiences: Option<Vec<u8>> = row.get(14)?;
    Ok(Pairing {
        id: from_text(&row.get::<_, String>(0)?, "pairing id")?,
        device: from_text(&row.get::<_, String>(1)?, "device id")?,
        epoch: Epoch(row.get(2)?),
        state: from_name(row.get(3)?, "pairing state")?,
        paired_at: row.get(4)?,
        ended_at: row.get(5)?,
        scopes: from_blob(&row.get::<_, Vec<u8>>(6)?, "scopes")?,
        audiences: audiences.map(|blob| from_blob(&blob, "audiences")).transpose()?.unwrap_or_default(),
        attestation_key: row.get(7)?,
        counter: row.get(8)?,
        device_key: row.get(9)?,
        action_key: row.get(13)?,
        policy_ref: from_bytes(&row.get::<_, Vec<u8>>(10)?, "policyRef")?,
        nonce: from_bytes(&row.get::<_, Vec<u8>>(11)?, "nonce")?,
        base: base.map(|blob| from_blob(&blob, "base")).transpose()?,
    })
}

pub(super) const REPORTED_COLUMNS: &str = "pairing.reported_at, pairing.report_bytes, pairing.report_whole, \
                                           pairing.reports, pairing.host, pairing.health";

/// Reads the last report from [`REPORTED_COLUMNS`], of which `first` is the first.
pub(super) fn read_reported(row: &Row<'_>, first: usize) -> Result<Option<Reported>, StoreError> {
    let host: Option<Vec<u8>> = row.get(first + 4)?;
    let (Some(at), Some(bytes), Some(whole)) = (row.get(first)?, row.get(first + 1)?, row.get(first + 2)?)
    else {
        return Ok(None);
    };
    let host = host.map(|blob| from_blob(&blob, "host facts")).transpose()?.unwrap_or_default();
    let health: Option<Vec<u8>> = row.get(first + 5)?;
    let health = health.map(|blob| from_blob(&blob, "host health")).transpose()?;
    Ok(Some(Reported { at, bytes, whole, count: row.get(first + 3)?, host, health }))
}

/// A link certificate that the broker must refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLink {
    /// The device that it was issued to.
    pub device: DeviceId,
    /// Its serial number.
    pub serial: Vec<u8>,
    /// Whether a receipt or a later pairing proves that its pairing has ended.
    pub is_proven: bool,
}

impl Tx<'_> {
    /// Stores the serial number of a pairing's link certificate.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_link_serial(&self, pairing: PairingId, serial: &[u8]) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE pairing SET link_serial = ?2 WHERE id = ?1",
            params![pairing.to_string(), serial],
        )?;
        Ok(())
    }

    /// Returns the link certificates that the broker must refuse, by serial number: those of ended pairings, and those of
    /// replaced and retired devices that were ordered before `ordered` (Unix seconds) to end their pairing and have not
    /// proven it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn dead_links(&self, ordered: u64) -> Result<Vec<DeadLink>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT pairing.device, link_serial, pairing.state = 'ended' FROM pairing JOIN device ON device.id = pairing.device \
             WHERE link_serial IS NOT NULL AND (pairing.state = 'ended' OR ((device.replaced_by IS NOT NULL \
             OR device.retired_at IS NOT NULL) AND EXISTS (SELECT 1 FROM event WHERE event.device = pairing.device AND event.kind = 'revoke' \
             AND event.epoch >= pairing.epoch AND event.time < ?1))) ORDER BY link_serial",
        )?;
        let mut rows = statement.query([ordered])?;
        let mut dead = Vec::new();
        while let Some(row) = rows.next()? {
            let device = from_text(&row.get::<_, String>(0)?, "device id")?;
            dead.push(DeadLink { device, serial: row.get(1)?, is_proven: row.get(2)? });
        }
        Ok(dead)
    }
}
