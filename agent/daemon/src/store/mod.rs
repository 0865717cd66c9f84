//! The state directory.
//!
//! Nothing here is trusted: whoever can write the disk can put back any of it. What is put back
//! from before a revocation names an epoch that the TPM's counter has left, and its keys are
//! dead in the TPM. Files are bounded when they are read and replaced atomically.
//!
//! | path | what |
//! | --- | --- |
//! | `pairing/pairing.cbor` | the pairing; it stays when the pairing ends |
//! | `pairing/{link,device,vault,action}.key` | key blobs, wrapped by the TPM |
//! | `pairing/vault.bin` | the sealed tokens |
//! | `pairing/verdict.cose`, `pairing/lease.cose` | the last verdict, and the last one with leases |
//! | `pairing.new/approved.cbor` | what was approved, until a pairing has come of it |
//! | `pairing.new/…` | the rest of a pairing in the making, its `pairing.cbor` last |
//! | `revocation.cbor` | why the last pairing ended |
//! | `receipts/{epoch}.cbor` | receipts that nobody has taken yet |
//! | `time.cbor` | the earliest that it can be now, from the last verdict |
//! | `records/` | the assurance records, which [`crate::audit`] keeps |
//! | `reserve` | disk space for the pairing that is asked for |
//! | `lock` | locked (flock(2)) while a daemon uses the directory |

pub(crate) mod atomic;
mod directory;
mod ending;
mod making;
mod record;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pawl_proto::codec::{self, DecodeError, EncodeError};
use pawl_proto::limits;
use pawl_tpm::KeyBlob;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::KnownTime;

pub(crate) use making::Unfinished;
pub use record::{Approved, PairingRecord, Revocation};
pub(crate) use record::{PairingKeys, TpmNames};

const RECORD: usize = 128 * 1024;
const VAULT: usize = 1024 * 1024;

/// The state directory, held by one daemon.
pub(crate) struct Store {
    root: PathBuf,
    live: Mutex<Live>,
    /// Held until the process ends.
    _lock: File,
}

/// What guards the files of the live pairing, whose writes happen on other threads. Nobody holds it while the disk
/// takes a file's contents: a hung write keeps no wipe from unlinking.
struct Live {
    /// Cleared when the pairing ends, so that a write that was already under way cannot bring a
    /// file back.
    pairing: bool,
    /// Counts the pairings that took their place in this process: a write for one before is dropped.
    generation: u64,
    /// The sequence of the last verdict that was written: an older one does not replace it.
    verdict: u64,
}

impl Store {
    /// Opens the directory for this process alone, and makes it where it is missing.
    ///
    /// # Errors
    /// [`StoreError`] when the directory belongs to another user, others may enter it, or another process uses it.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let lock = directory::open(root)?;
        let live = Mutex::new(Live { pairing: true, generation: 0, verdict: 0 });
        let store = Self { root: root.to_owned(), live, _lock: lock };
        store.make_folder("receipts")?;
        Ok(store)
    }

    /// The pairing, live or over.
    pub(crate) fn pairing(&self) -> Result<Option<PairingRecord>, StoreError> {
        self.load("pairing/pairing.cbor")
    }

    /// The keys of the pairing; none when one of them is gone.
    pub(crate) fn keys(&self) -> Result<Option<PairingKeys>, StoreError> {
        let key = |name: &str| -> Result<Option<KeyBlob>, StoreError> {
            Ok(self.load::<record::KeyFile>(name)?.map(record::KeyFile::into_blob))
        };
        Ok(match (key(LINK_KEY)?, key(DEVICE_KEY)?, key(VAULT_KEY)?, key(ACTION_KEY)?) {
            (Some(link), Some(device), Some(vault), Some(action)) => {
                Some(PairingKeys { link, device, vault, action })
            }
            _ => None,
        })
    }

    /// The last verdict, as it was received.
    pub(crate) fn verdict(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(VERDICT, limits::ORDER)
    }

    /// The last verdict with a lease, as it was received.
    pub(crate) fn lease(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(LEASE, limits::ORDER)
    }

    /// Keeps a verdict of the live pairing, unless a newer one is kept.
    pub(crate) fn put_verdict(
        &self,
        sequence: u64,
        message: &[u8],
        has_lease: bool,
    ) -> Result<(), StoreError> {
        let Some(generation) = self.live_generation() else { return Ok(()) };
        if sequence <= self.lock().verdict {
            return Ok(());
        }
        if has_lease {
            self.write_live(generation, LEASE, message)?;
        }
        self.write_live(generation, VERDICT, message)?;
        let mut live = self.lock();
        if live.generation == generation {
            live.verdict = sequence;
        }
        Ok(())
    }

    /// Returns the generation of the live pairing; none where no pairing lives.
    fn live_generation(&self) -> Option<u64> {
        let live = self.lock();
        live.pairing.then_some(live.generation)
    }

    /// Writes a file of the live pairing of `generation`. Where that has ended in the meantime, nothing is left of it.
    fn write_live(&self, generation: u64, name: &str, contents: &[u8]) -> Result<(), StoreError> {
        let path = self.root.join(name);
        let write = || {
            let prepared = atomic::prepare(&path, contents)?;
            let live = self.lock();
            if live.pairing && live.generation == generation {
                prepared.replace()?;
                drop(live);
                atomic::sync_parent(&path)
            } else {
                prepared.discard()
            }
        };
        write().map_err(|error| self.error(name, error))
    }

    /// Removes the last verdict with a lease.
    pub(crate) fn remove_lease(&self) -> Result<(), StoreError> {
        atomic::remove(&self.root.join(LEASE)).map_err(|error| self.error(LEASE, error))
    }

    /// The earliest that it can be now, as an earlier process knew.
    pub(crate) fn time(&self) -> Result<Option<KnownTime>, StoreError> {
        self.load(TIME)
    }

    /// Keeps the earliest that it can be now. It outlives the pairing.
    pub(crate) fn put_time(&self, time: &KnownTime) -> Result<(), StoreError> {
        self.save(TIME, time)
    }

    /// The sealed tokens.
    pub(crate) fn vault(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(VAULT_FILE, VAULT)
    }

    /// Keeps the sealed tokens of the live pairing.
    pub(crate) fn put_vault(&self, sealed: &[u8]) -> Result<(), StoreError> {
        match self.live_generation() {
            Some(generation) => self.write_live(generation, VAULT_FILE, sealed),
            None => Ok(()),
        }
    }

    /// Unlinks every key, token and lease, and makes that last. The record of the pairing stays.
    pub(crate) fn destroy_keys(&self) -> Result<(), StoreError> {
        let mut live = self.lock();
        live.pairing = false;
        for name in [VAULT_FILE, LINK_KEY, DEVICE_KEY, VAULT_KEY, ACTION_KEY, VERDICT, LEASE] {
            atomic::remove(&self.root.join(name)).map_err(|error| self.error(name, error))?;
        }
        let folder = self.root.join("pairing");
        if folder.exists() {
            atomic::sync(&folder).map_err(|error| self.error("pairing", error))
        } else {
            Ok(())
        }
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load<T: Serialize + DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let Some(contents) = self.read(name, RECORD)? else { return Ok(None) };
        codec::decode(&contents, RECORD)
            .map(Some)
            .map_err(|error| StoreError::Damaged { path: self.root.join(name), error })
    }

    fn save<T: Serialize>(&self, name: &str, value: &T) -> Result<(), StoreError> {
        self.write(name, &codec::encode(value)?)
    }

    fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        atomic::read(&self.root.join(name), limit).map_err(|error| self.error(name, error))
    }

    fn write(&self, name: &str, contents: &[u8]) -> Result<(), StoreError> {
        atomic::write(&self.root.join(name), contents).map_err(|error| self.error(name, error))
    }

    fn make_folder(&self, name: &str) -> Result<(), StoreError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.root.join(name))
            .map_err(|error| self.error(name, error))
    }

    fn error(&self, name: &str, error: io::Error) -> StoreError {
        StoreError::Io { path: self.root.join(name), error }
    }
}

const LINK_KEY: &str = "pairing/link.key";
const DEVICE_KEY: &str = "pairing/device.key";
const VAULT_KEY: &str = "pairing/vault.key";
const ACTION_KEY: &str = "pairing/action.key";
const VAULT_FILE: &str = "pairing/vault.bin";
const TIME: &str = "time.cbor";
const VERDICT: &str = "pairing/verdict.cose";
const LEASE: &str = "pairing/lease.cose";

/// What went wrong in the state directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{}: {error}; check the disk, its free space and the owner of the state directory", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{} is damaged ({error}); pair the device again", path.display())]
    Damaged { path: PathBuf, error: DecodeError },
    #[error(
        "{}: a pairing needs {} KiB of free disk space; free some, then try again",
        .0.display(), making::RESERVE_KIB
    )]
    Space(PathBuf),
    #[error(transparent)]
    Directory(#[from] directory::DirectoryError),
    #[error("{name} cannot be encoded")]
    Unencodable { name: String },
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
