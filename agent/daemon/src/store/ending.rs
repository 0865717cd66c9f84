//! What is kept of an end: why the last pairing ended, and the receipts that wait.

use pawl_proto::{Epoch, codec, limits};

use super::{Store, StoreError, atomic};
use crate::record::Revocation;

pub(super) const REVOCATION: &str = "revocation.cbor";
const RECEIPTS: usize = 64;

impl Store {
    /// Why the last pairing ended.
    pub fn revocation(&self) -> Result<Option<Revocation>, StoreError> {
        self.load(REVOCATION)
    }

    /// Keeps that the pairing is about to end, without waiting for the disk. It is found by the
    /// next process, if this one dies in between. Called late, it replaces nothing.
    pub fn announce_revocation(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let contents = codec::encode(revocation)?;
        let live = self.lock();
        if !live.pairing || self.has_another_pairing_than(revocation) {
            return Ok(());
        }
        atomic::write_soon(&*self.disk, &self.root.join(REVOCATION), &contents)
            .map_err(|error| self.error(REVOCATION, error))
    }

    /// Keeps why the pairing ended. A pairing that was granted and ended before it took its place leaves what is kept of
    /// the one before it: a start must not find that one's end unexplained.
    pub fn put_revocation(&self, revocation: &Revocation) -> Result<(), StoreError> {
        if self.has_another_pairing_than(revocation) {
            return Ok(());
        }
        self.lock().pairing = false;
        self.save(REVOCATION, revocation)
    }

    /// Returns whether the pairing on the disk is another one than the one that ended.
    fn has_another_pairing_than(&self, revocation: &Revocation) -> bool {
        matches!(self.pairing(), Ok(Some(record)) if record.epoch != revocation.ended)
    }

    /// Drops the record of a pairing that is over, and why it ended. Receipts and records stay.
    pub fn forget_pairing(&self) -> Result<(), StoreError> {
        self.lock().pairing = false;
        self.remove_folder("pairing")?;
        self.remove(REVOCATION)?;
        self.sync_folder("")
    }

    /// Keeps a receipt until somebody has taken it.
    pub fn put_receipt(&self, ended: Epoch, message: &[u8]) -> Result<(), StoreError> {
        self.write(&receipt_name(ended), message)
    }

    /// Drops a receipt that was taken.
    pub fn remove_receipt(&self, ended: Epoch) -> Result<(), StoreError> {
        self.remove(&receipt_name(ended))
    }

    /// The receipts that wait, oldest epoch first.
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
