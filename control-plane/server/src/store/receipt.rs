use pawl_proto::message::{Receipt, SignedReceipt};
use pawl_proto::{DeviceId, Digest};
use rusqlite::params;

use super::value::{from_blob, to_blob};
use super::{StoreError, Tx};

/// A receipt that was verified before it was stored; others are not kept.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceiptRow {
    /// What it says.
    pub receipt: Receipt,
    /// When it came, Unix milliseconds.
    pub received_at_ms: u64,
}

impl Tx<'_> {
    /// Adds a verified receipt; false when it is there already.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn add_receipt(
        &self,
        receipt: &Receipt,
        signed: &SignedReceipt,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let added = self.sql.execute(
            "INSERT INTO receipt (digest, device, body, signed, received_at_ms) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT DO NOTHING",
            params![
                Digest::of(signed.receipt.as_bytes()).0,
                receipt.device.as_str(),
                to_blob(receipt, "receipt")?,
                to_blob(signed, "receipt")?,
                now_ms,
            ],
        )?;
        Ok(added == 1)
    }

    /// The receipts of a device, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn receipts(&self, device: DeviceId) -> Result<Vec<ReceiptRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT body, received_at_ms FROM receipt WHERE device = ?1 ORDER BY received_at_ms",
        )?;
        let rows =
            statement.query_map([device.as_str()], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?)))?;
        rows.map(|row| {
            let (body, received_at_ms) = row?;
            Ok(ReceiptRow { receipt: from_blob(&body, "receipt")?, received_at_ms })
        })
        .collect()
    }
}
