//! `pairing.new/`: an unfinished pairing, from its approval until its commit replaces the old one.

use std::io;
use std::path::PathBuf;

use pawl_proto::Epoch;
use pawl_proto::bounded::TooLong;
use pawl_proto::codec::Version;
use pawl_proto::message::TpmStructure;
use pawl_tpm::KeyBlob;
use serde::{Deserialize, Serialize};

use super::ending::REVOCATION;
use super::{Live, Store, StoreError, atomic};
use crate::record::{Approved, PairingRecord, Unfinished};

const NEW: &str = "pairing.new";
const APPROVED: &str = "pairing.new/approved.cbor";
const KEYS_BEGUN: &str = "pairing.new/keys-begun.cbor";
const STAGED: &str = "pairing.new/pairing.cbor";
/// KiB to reserve for a requested pairing. Its files need at most about 40 KiB, counted in blocks of the disk.
pub(crate) const RESERVE_KIB: u64 = 256;
const RESERVE: u64 = RESERVE_KIB * 1024;
const RESERVED: &str = "reserve";

/// The keys of a pairing. Their private halves are wrapped by the TPM that made them.
#[derive(Clone)]
pub struct PairingKeys {
    /// Authenticates the device to the broker and to the control plane.
    pub link: KeyBlob,
    /// Signs DPoP proofs, client assertions and assurances.
    pub device: KeyBlob,
    /// Seals the key of the vault.
    pub vault: KeyBlob,
    /// Signs what an approval session authorizes.
    pub action: KeyBlob,
}

impl From<&pawl_tpm::PairingKeys> for PairingKeys {
    fn from(keys: &pawl_tpm::PairingKeys) -> Self {
        let pawl_tpm::PairingKeys { link, device, vault, action, storage_key: _ } = keys;
        let [link, device, vault, action] = [link, device, vault, action].map(KeyBlob::clone);
        Self { link, device, vault, action }
    }
}

/// One key file: `TPMT_PUBLIC`, and the contents of the `TPM2B_PRIVATE`.
#[derive(Serialize, Deserialize)]
pub(super) struct KeyFile {
    version: Version,
    public: TpmStructure,
    private: TpmStructure,
}

impl KeyFile {
    pub(super) fn new(key: &KeyBlob) -> Result<Self, TooLong> {
        Ok(Self {
            version: Version,
            public: key.public.clone().try_into()?,
            private: key.private.clone().try_into()?,
        })
    }

    pub(super) fn into_blob(self) -> KeyBlob {
        KeyBlob { public: self.public.into_vec(), private: self.private.into_vec() }
    }
}

impl Store {
    /// Returns what an earlier process left of an unfinished pairing.
    pub fn unfinished(&self) -> Unfinished {
        if !self.disk.exists(&self.root.join(NEW)) {
            return Unfinished::Nothing;
        }
        if let Ok(Some(_)) = self.load::<PairingRecord>(STAGED) {
            return Unfinished::Staged;
        }
        match self.load(APPROVED) {
            Ok(Some(approved)) => Unfinished::Approved {
                approved: Box::new(approved),
                may_have_keys: self.disk.exists(&self.root.join(KEYS_BEGUN)),
            },
            Ok(None) => Unfinished::Scraps,
            Err(error) => {
                tracing::warn!(%error, "cannot read the stored approval; the pairing needs a new one");
                Unfinished::Scraps
            }
        }
    }

    /// Allocates the disk space that a new pairing needs, so that a full disk fails the request and not the approved pairing.
    /// [`keep_approved`](Self::keep_approved) and [`stage`](Self::stage) free it before they write.
    ///
    /// # Errors
    /// [`StoreError::Space`] if the disk has too little free space.
    pub fn reserve(&self) -> Result<(), StoreError> {
        let path = self.root.join(RESERVED);
        let allocate = || {
            atomic::remove(&*self.disk, &path)?;
            let file = self.disk.create(&path)?;
            file.allocate(RESERVE)?;
            file.sync()
        };
        allocate().map_err(|error| {
            self.release();
            match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    StoreError::Space(self.root.clone())
                }
                _ => StoreError::Io { path: path.clone(), error },
            }
        })
    }

    /// Frees the reserved space.
    pub fn release(&self) {
        if let Err(error) = self.remove(RESERVED) {
            tracing::warn!(%error, "cannot release the disk space reserved for a pairing; the next one replaces it");
        }
    }

    /// Frees half of the reserved space. The other half is for [`stage`](Self::stage).
    fn release_half(&self) -> Result<(), StoreError> {
        match self.disk.open(&self.root.join(RESERVED)).and_then(|file| file.set_length(RESERVE / 2)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.error(RESERVED, error)),
            _ => Ok(()),
        }
    }

    /// Writes an approval, before the daemon acts on it.
    pub fn keep_approved(&self, approved: &Approved) -> Result<(), StoreError> {
        self.discard_unfinished()?;
        self.release_half()?;
        self.make_folder(NEW)?;
        self.save(APPROVED, approved)?;
        self.sync_folder("")
    }

    /// Records that keys are about to be created on the stored approval, in this epoch. A process that resumes the approval ends
    /// the TPM's epoch first, because it cannot know whether the keys were created.
    pub fn begin_keys(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.save(KEYS_BEGUN, &epoch)
    }

    /// Removes an unfinished pairing.
    pub fn discard_unfinished(&self) -> Result<(), StoreError> {
        self.remove_folder(NEW)?;
        self.sync_folder("")
    }

    /// Writes the new pairing beside the old one. Writes its record last: if the record exists, the pairing is complete.
    pub fn stage(
        &self,
        record: &PairingRecord,
        keys: &PairingKeys,
        verdict: &[u8],
    ) -> Result<(), StoreError> {
        self.release();
        let PairingKeys { link, device, vault, action } = keys;
        for (name, key) in [("link", link), ("device", device), ("vault", vault), ("action", action)] {
            let name = format!("{NEW}/{name}.key");
            let file = KeyFile::new(key).map_err(|_| StoreError::Unencodable { name: name.clone() })?;
            self.save(&name, &file)?;
        }
        let names = ["lease.cose", "verdict.cose"].map(|name| self.root.join(NEW).join(name));
        atomic::write_all(&*self.disk, &names.each_ref().map(PathBuf::as_path), verdict)
            .map_err(|error| self.error(NEW, error))?;
        self.save(STAGED, record)
    }

    /// Replaces the old pairing by the staged one. If a power cut interrupts it, the next start commits again.
    pub fn commit(&self) -> Result<(), StoreError> {
        let mut live = self.lock();
        self.remove(APPROVED)?;
        self.remove(KEYS_BEGUN)?;
        self.remove_folder("pairing")?;
        // Remove the note before the rename. It names only the number of an epoch, and the new pairing may be of another TPM with
        // the same number.
        self.remove(REVOCATION)?;
        let (new, current) = (self.root.join(NEW), self.root.join("pairing"));
        self.disk.rename(&new, &current).map_err(|error| self.error("pairing", error))?;
        self.sync_folder("")?;
        *live = Live { pairing: true, generation: live.generation.wrapping_add(1), verdict: 0 };
        Ok(())
    }
}
