//! The serial numbers of link certificates.

use pawl_proto::{DeviceId, PairingId};
use rusqlite::params;

use super::value::from_text;
use super::{StoreError, Tx};

/// A link certificate that nobody may use any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLink {
    /// Whose it is.
    pub device: DeviceId,
    /// Its serial number.
    pub serial: Vec<u8>,
    /// Whether the pairing has ended for certain: a receipt or a later pairing shows it.
    pub is_proven: bool,
}

/// Version 4 of the tables. Earlier pairings have none.
pub(super) const SERIALS: &str = "
ALTER TABLE pairing ADD COLUMN link_serial BLOB;
";

impl Tx<'_> {
    /// Keeps the serial number of a pairing's link certificate.
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

    /// The link certificates that nobody may use any more, by serial number: those of pairings that have ended, and those
    /// of replaced devices that were ordered to end theirs before `ordered` (Unix seconds) and have not proven it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn dead_links(&self, ordered: u64) -> Result<Vec<DeadLink>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT pairing.device, link_serial, pairing.state = 'ended' FROM pairing JOIN device ON device.id = pairing.device \
             WHERE link_serial IS NOT NULL AND (pairing.state = 'ended' OR (device.replaced_by IS NOT NULL \
             AND EXISTS (SELECT 1 FROM event WHERE event.device = pairing.device AND event.kind = 'revoke' \
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
