use pawl_proto::message::{HostFacts, HostHealth};
use pawl_proto::{DeviceId, Epoch, Nonce, PairingId};
use pawl_verifier::pairing::{Base, Pairing, PairingState};
use rusqlite::{OptionalExtension as _, Row, params};

use super::value::{from_blob, from_bytes, from_name, from_text, to_blob, to_name};
use super::{StoreError, Tx};

/// The last report, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// When it came.
    pub at: u64,
    /// How long the message was.
    pub bytes: u64,
    /// Whether it was a whole one.
    pub whole: bool,
    /// How many were taken in this pairing.
    pub count: u64,
    /// What the host last said of itself.
    pub host: HostFacts,
    /// How it last said it is doing.
    pub health: Option<HostHealth>,
}

/// A report that was judged, as [`Tx::take_report`] stores it.
#[derive(Clone, Copy, Debug)]
pub struct NewReport<'a> {
    /// When it came.
    pub at: u64,
    /// How long the message was.
    pub bytes: usize,
    /// Whether it was a whole one.
    pub whole: bool,
    /// What the host says of itself, unless the report leaves it out.
    pub host: Option<&'a HostFacts>,
    /// How it says it is doing, unless the report leaves it out.
    pub health: Option<&'a HostHealth>,
}

/// In [`MIGRATIONS`](super::schema).
pub(super) const HEALTH: &str = "ALTER TABLE pairing ADD COLUMN health BLOB;";

const COLUMNS: &str = "id, device, epoch, state, paired_at, ended_at, scopes, attestation_key, counter, device_key, \
                       policy_ref, nonce, base, action_key, audiences";

impl Tx<'_> {
    /// Adds a pairing.
    ///
    /// # Errors
    /// [`StoreError`], also when the device has one in that epoch.
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

    /// The newest pairing of a device, also when it ended: the one of the highest epoch.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn newest_pairing(&self, device: DeviceId) -> Result<Option<Pairing>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM pairing WHERE device = ?1 ORDER BY epoch DESC LIMIT 1"
        ))?;
        statement.query_row([device.as_str()], |row| Ok(read(row))).optional()?.transpose()
    }

    /// The pairing of a device that holds.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn live_pairing(&self, device: DeviceId) -> Result<Option<Pairing>, StoreError> {
        Ok(self.newest_pairing(device)?.filter(|pairing| pairing.state == PairingState::Live))
    }

    /// The pairing with this id.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn pairing(&self, id: PairingId) -> Result<Option<Pairing>, StoreError> {
        let mut statement =
            self.sql.prepare_cached(&format!("SELECT {COLUMNS} FROM pairing WHERE id = ?1"))?;
        statement.query_row([id.to_string()], |row| Ok(read(row))).optional()?.transpose()
    }

    /// Marks that the end of a pairing is ordered.
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

    /// Marks every pairing of a device whose epoch is below `epoch` as ended: the counter is
    /// known to stand there.
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

    /// Sets what the next report must repeat.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_nonce(&self, id: PairingId, nonce: Nonce) -> Result<(), StoreError> {
        self.sql.execute("UPDATE pairing SET nonce = ?2 WHERE id = ?1", params![id.to_string(), nonce.0])?;
        Ok(())
    }

    /// The firmware's event log that came with the last whole report.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn boot_log(&self, id: PairingId) -> Result<Option<Vec<u8>>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT boot_log FROM pairing WHERE id = ?1")?;
        Ok(statement.query_row([id.to_string()], |row| row.get(0))?)
    }

    /// Keeps the firmware's event log of a whole report.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_boot_log(&self, id: PairingId, log: Option<&[u8]>) -> Result<(), StoreError> {
        self.sql.execute("UPDATE pairing SET boot_log = ?2 WHERE id = ?1", params![id.to_string(), log])?;
        Ok(())
    }

    /// Returns the last report of a pairing, for people.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn reported(&self, id: PairingId) -> Result<Option<Reported>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT reported_at, report_bytes, report_whole, reports, host, health FROM pairing WHERE id = ?1",
        )?;
        let row = statement.query_row([id.to_string()], |row| Ok(read_reported(row))).optional()?;
        Ok(row.transpose()?.flatten())
    }

    /// Stores a report that was judged: the next one builds on it. What it leaves out stays as it was.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn take_report(&self, id: PairingId, base: &Base, report: NewReport<'_>) -> Result<(), StoreError> {
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

fn read(row: &Row<'_>) -> Result<Pairing, StoreError> {
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

fn read_reported(row: &Row<'_>) -> Result<Option<Reported>, StoreError> {
    let host: Option<Vec<u8>> = row.get(4)?;
    let (Some(at), Some(bytes), Some(whole)) = (row.get(0)?, row.get(1)?, row.get(2)?) else {
        return Ok(None);
    };
    let host = host.map(|blob| from_blob(&blob, "host facts")).transpose()?.unwrap_or_default();
    let health: Option<Vec<u8>> = row.get(5)?;
    let health = health.map(|blob| from_blob(&blob, "host health")).transpose()?;
    Ok(Some(Reported { at, bytes, whole, count: row.get(3)?, host, health }))
}
