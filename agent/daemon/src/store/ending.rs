//! The files about an ended pairing: why it ended, and the receipts that the control plane has not confirmed.

use pawl_proto::{Epoch, codec, limits};

use super::{Store, StoreError, atomic};
use crate::record::Revocation;

pub(super) const REVOCATION: &str = "revocation.cbor";
const RECEIPTS: usize = 64;

impl Store {
    /// Returns why the last pairing ended, or is about to end; none if the disk does not have it.
    pub fn revocation(&self) -> Result<Option<Revocation>, StoreError> {
        self.load(REVOCATION)
    }

    /// Writes a note that the pairing is about to end, without a sync. The next process finds it if this one is killed before the
    /// increment. Does nothing if the pairing has ended already, or if the disk has another pairing.
    pub fn announce_revocation(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let contents = codec::encode(revocation)?;
        let live = self.lock();
        if !live.pairing || self.has_another_pairing_than(revocation) {
            return Ok(());
        }
        atomic::write_soon(&*self.disk, &self.root.join(REVOCATION), &contents)
            .map_err(|error| self.error(REVOCATION, error))
    }

    /// Writes why the pairing ended. Does nothing if the disk has another pairing: the granted pairing ended before its commit,
    /// and must not replace the revocation of the pairing before it.
    pub fn put_revocation(&self, revocation: &Revocation) -> Result<(), StoreError> {
        if self.has_another_pairing_than(revocation) {
            return Ok(());
        }
        self.lock().pairing = false;
        self.save(REVOCATION, revocation)
    }

    /// Returns whether the disk has another pairing than the one that ended.
    fn has_another_pairing_than(&self, revocation: &Revocation) -> bool {
        matches!(self.pairing(), Ok(Some(record)) if record.epoch != revocation.ended)
    }

    /// Removes the record of an ended pairing, and why it ended. Receipts and audit records stay.
    pub fn forget_pairing(&self) -> Result<(), StoreError> {
        self.lock().pairing = false;
        self.remove_folder("pairing")?;
        self.remove(REVOCATION)?;
        self.sync_folder("")
    }

    /// Writes a receipt. It stays until [`remove_receipt`](Self::remove_receipt).
    pub fn put_receipt(&self, ended: Epoch, message: &[u8]) -> Result<(), StoreError> {
        self.write(&receipt_name(ended), message)
    }

    /// Removes a receipt that the control plane has confirmed.
    pub fn remove_receipt(&self, ended: Epoch) -> Result<(), StoreError> {
        self.remove(&receipt_name(ended))
    }

    /// Returns the stored receipts, oldest epoch first.
    pub fn receipts(&self) -> Result<Vec<(Epoch, Vec<u8>)>, StoreError> {
        let names =
            self.disk.list(&self.root.join("receipts")).map_err(|error| self.error("receipts", error))?;
        let mut epochs: Vec<Epoch> = names
            .iter()
            .filter_map(|name| name.strip_suffix(".cbor")?.parse().ok())
            .map(Epoch)
            .take(RECEIPTS)
            .collect();
        epochs.sort_unstable();
        let mut receipts = Vec::new();
        for epoch in epochs {
            if let Some(message) = self.read(&receipt_name(epoch), limits::ORDER)? {
                receipts.push((epoch, message));
            }
        }
        Ok(receipts)
    }
}

fn receipt_name(ended: Epoch) -> String {
    format!("receipts/{ended}.cbor")
}
