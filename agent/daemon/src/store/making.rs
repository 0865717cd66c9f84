//! `pairing.new/`: a pairing in the making, from its approval until it takes the place of the old
//! one.

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
/// KiB held back for a pairing that is asked for: its files take some 40 KiB at most, in blocks of the disk.
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
    /// What an earlier process left in the making.
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
                tracing::warn!(%error, "an approval cannot be read; another one is needed");
                Unfinished::Scraps
            }
        }
    }

    /// Allocates the disk space that a new pairing will take, so that a full disk stops the request and not the
    /// approved pairing. [`keep_approved`](Self::keep_approved) and [`stage`](Self::stage) use it up.
    ///
    /// # Errors
    /// [`StoreError::Space`] when the disk does not have so much left.
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

    /// Gives reserved space back.
    pub fn release(&self) {
        if let Err(error) = self.remove(RESERVED) {
            tracing::warn!(%error, "cannot release the disk space reserved for a pairing; the next one replaces it");
        }
    }

    /// Leaves half of the reserve for what follows.
    fn release_half(&self) -> Result<(), StoreError> {
        match self.disk.open(&self.root.join(RESERVED)).and_then(|file| file.set_length(RESERVE / 2)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.error(RESERVED, error)),
            _ => Ok(()),
        }
    }

    /// Keeps an approval before anything is done on it.
    pub fn keep_approved(&self, approved: &Approved) -> Result<(), StoreError> {
        self.discard_unfinished()?;
        self.release_half()?;
        self.make_folder(NEW)?;
        self.save(APPROVED, approved)?;
        self.sync_folder("")
    }

    /// Records that keys are about to be created on the kept approval, in this epoch. A process that resumes the approval
    /// ends the TPM's epoch first: nobody can tell whether the keys were created.
    pub fn begin_keys(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.save(KEYS_BEGUN, &epoch)
    }

    /// Drops a pairing in the making.
    pub fn discard_unfinished(&self) -> Result<(), StoreError> {
        self.remove_folder(NEW)?;
        self.sync_folder("")
    }

    /// Writes the new pairing beside the old one. Its record comes last: where that is, all is.
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

    /// Puts the staged pairing in the place of the old one. Cut in between, it is done again at the
    /// next start.
    pub fn commit(&self) -> Result<(), StoreError> {
        let mut live = self.lock();
        self.remove(APPROVED)?;
        self.remove(KEYS_BEGUN)?;
        self.remove_folder("pairing")?;
        // Before the new record is there: the note names an epoch, which may be the new one's on
        // another TPM.
        self.remove(REVOCATION)?;
        let (new, current) = (self.root.join(NEW), self.root.join("pairing"));
        self.disk.rename(&new, &current).map_err(|error| self.error("pairing", error))?;
        self.sync_folder("")?;
        *live = Live { pairing: true, generation: live.generation.wrapping_add(1), verdict: 0 };
        Ok(())
    }
}
