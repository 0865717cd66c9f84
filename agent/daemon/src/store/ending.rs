//! What is kept of an end: why the last pairing ended, and the receipts that wait.

use std::fs;

use pawl_proto::{Epoch, codec, limits};

use super::{Revocation, Store, StoreError, atomic};

pub(super) const REVOCATION: &str = "revocation.cbor";
const RECEIPTS: usize = 64;

impl Store {
    /// Why the last pairing ended.
    pub(crate) fn revocation(&self) -> Result<Option<Revocation>, StoreError> {
        self.load(REVOCATION)
    }

    /// Keeps that the pairing is about to end, without waiting for the disk. It is found by the
    /// next process, if this one dies in between. Called late, it replaces nothing.
    pub(crate) fn announce_revocation(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let contents = codec::encode(revocation)?;
        let live = self.lock();
        if !live.pairing {
            return Ok(());
        }
        atomic::write_soon(&self.root.join(REVOCATION), &contents)
            .map_err(|error| self.error(REVOCATION, error))
    }

    /// Keeps why the pairing ended.
    pub(crate) fn put_revocation(&self, revocation: &Revocation) -> Result<(), StoreError> {
        self.lock().pairing = false;
        self.save(REVOCATION, revocation)
    }

    /// Drops the record of a pairing that is over, and why it ended. Receipts and records stay.
    pub(crate) fn forget_pairing(&self) -> Result<(), StoreError> {
        self.lock().pairing = false;
        atomic::remove_folder(&self.root.join("pairing")).map_err(|error| self.error("pairing", error))?;
        atomic::remove(&self.root.join(REVOCATION)).map_err(|error| self.error(REVOCATION, error))
    }

    /// Keeps a receipt until somebody has taken it.
    pub(crate) fn put_receipt(&self, ended: Epoch, message: &[u8]) -> Result<(), StoreError> {
        self.write(&receipt_name(ended), message)
    }

    /// Drops a receipt that was taken.
    pub(crate) fn remove_receipt(&self, ended: Epoch) -> Result<(), StoreError> {
        let name = receipt_name(ended);
        atomic::remove(&self.root.join(&name)).map_err(|error| self.error(&name, error))
    }

    /// The receipts that wait, oldest epoch first.
    pub(crate) fn receipts(&self) -> Result<Vec<(Epoch, Vec<u8>)>, StoreError> {
        let folder = self.root.join("receipts");
        let mut epochs: Vec<Epoch> = fs::read_dir(&folder)
            .map_err(|error| self.error("receipts", error))?
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".cbor")?.parse().ok())
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
