//! Devices that asked to be paired and are not enrolled.

use pawl_proto::message::HostFacts;
use pawl_proto::{DeviceId, Digest};
use rusqlite::{Row, params};

use super::{StoreError, Tx, from_blob, from_bytes, from_text, to_blob};

/// The most pending devices that are kept.
const MAX_PENDING: usize = 256;

/// A device that asked to be paired and is not enrolled. Its TPM has proven that it has this endorsement key. The host
/// facts are claims of the device.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingDevice {
    /// Its id.
    pub device: DeviceId,
    /// SHA-256 of its endorsement key's public area.
    pub ek_sha256: Digest,
    /// The host facts of its last request.
    pub host: HostFacts,
    /// The result of the check of the EK certificate against the vendors' CAs.
    pub endorsement: String,
    /// The network of its last request.
    pub address: String,
    /// When it first asked, Unix seconds.
    pub first_at: u64,
    /// When it last asked, Unix seconds.
    pub last_at: u64,
    /// How often it asked.
    pub times: u64,
    /// The operator's name for it, if it was enrolled before.
    pub label: Option<String>,
    /// When it was retired, Unix seconds; none if it was never enrolled.
    pub retired_at: Option<u64>,
}

/// A request of a device that is not enrolled, as [`Tx::add_pending_device`] takes it.
#[derive(Clone, Debug)]
pub struct PendingRequest {
    /// The device.
    pub device: DeviceId,
    /// SHA-256 of its endorsement key's public area.
    pub ek_sha256: Digest,
    /// Its host facts.
    pub host: HostFacts,
    /// What the TPM vendors' certificates say of the endorsement key.
    pub endorsement: String,
    /// The network that it came from.
    pub address: String,
    /// When it came, Unix seconds.
    pub at: u64,
}

impl Tx<'_> {
    /// Adds a request of a device that is not enrolled. Keeps the newest devices: at most `per_address` of one
    /// network, and [`MAX_PENDING`] in all.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn add_pending_device(&self, asked: &PendingRequest, per_address: usize) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO pending_device (device, ek_sha256, host, endorsement, address, first_at, last_at, times) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 1) ON CONFLICT (device) DO UPDATE SET host = ?3, \
             endorsement = ?4, address = ?5, last_at = ?6, times = times + 1",
            params![
                asked.device.as_str(),
                asked.ek_sha256.0,
                to_blob(&asked.host, "host facts")?,
                asked.endorsement,
                asked.address,
                asked.at,
            ],
        )?;
        self.drop_oldest_pending(asked.device, Some(&asked.address), per_address)?;
        self.drop_oldest_pending(asked.device, None, MAX_PENDING)
    }

    /// Removes the pending devices of one network, or of all, that asked earliest, until `keep` are left. `newest` is
    /// never removed.
    fn drop_oldest_pending(
        &self,
        newest: DeviceId,
        address: Option<&str>,
        keep: usize,
    ) -> Result<(), StoreError> {
        self.sql.execute(
            "DELETE FROM pending_device WHERE device IN (SELECT device FROM pending_device \
             WHERE ?2 IS NULL OR address = ?2 ORDER BY device = ?1 DESC, last_at DESC, device LIMIT -1 OFFSET ?3)",
            params![newest.as_str(), address, keep],
        )?;
        Ok(())
    }

    /// Returns the pending devices, the one that asked last first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn pending_devices(&self) -> Result<Vec<PendingDevice>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT device, pending_device.ek_sha256, host, pending_device.endorsement, address, first_at, last_at, \
             times, label, retired_at FROM pending_device LEFT JOIN device ON device.id = pending_device.device \
             ORDER BY last_at DESC, device",
        )?;
        let rows = statement.query_map([], |row| Ok(read_pending(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Removes a device, which is now enrolled, from the pending ones.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(super) fn remove_pending_device(&self, device: DeviceId) -> Result<(), StoreError> {
        self.sql.execute("DELETE FROM pending_device WHERE device = ?1", [device.as_str()])?;
        Ok(())
    }
}

fn read_pending(row: &Row<'_>) -> Result<PendingDevice, StoreError> {
    Ok(PendingDevice {
        device: from_text(&row.get::<_, String>(0)?, "device id")?,
        ek_sha256: from_bytes(&row.get::<_, Vec<u8>>(1)?, "digest")?,
        host: from_blob(&row.get::<_, Vec<u8>>(2)?, "host facts")?,
        endorsement: row.get(3)?,
        address: row.get(4)?,
        first_at: row.get(5)?,
        last_at: row.get(6)?,
        times: row.get(7)?,
        label: row.get(8)?,
        retired_at: row.get(9)?,
    })
}

#[cfg(test)]
mod tests;
