//! The state directory.
//!
//! Its contents are not trusted: anyone who can write to the disk can restore an older file. Files from before a revocation name an
//! epoch that has ended, and the TPM refuses their keys. The store limits the size of the files that it reads, and replaces files
//! atomically.
//!
//! | path | what |
//! | --- | --- |
//! | `pairing/pairing.cbor` | the record of the pairing; it stays after the pairing has ended |
//! | `pairing/{link,device,vault,action}.key` | key blobs, wrapped by the TPM |
//! | `pairing/vault.bin` | the sealed tokens |
//! | `pairing/verdict.cose`, `pairing/lease.cose` | the last verdict, and the last one with leases; hard links to one file if they are the same |
//! | `pairing.new/approved.cbor` | an approval, until its pairing is complete |
//! | `pairing.new/keys-begun.cbor` | the epoch in which keys may have been created on that approval |
//! | `pairing.new/…` | the files of the unfinished pairing; `pairing.cbor` is written last |
//! | `revocation.cbor` | why the last pairing ended, or is about to end |
//! | `receipts/{epoch}.cbor` | receipts that the control plane has not confirmed |
//! | `time.cbor` | the floor of the wall clock, from the last verdict |
//! | `records/` | the audit records, which `audit` writes |
//! | `reserve` | disk space for the pairing that was requested |
//! | `lock` | locked (flock(2)) while a daemon uses the directory |

pub(crate) mod atomic;
mod directory;
mod disk;
mod effects;
mod ending;
mod making;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pawl_proto::codec::{self, DecodeError, EncodeError};
use pawl_proto::limits;
use pawl_tpm::KeyBlob;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::record::PairingRecord;

pub use crate::clock::KnownTime;

pub use directory::DirectoryError;
pub use disk::{Disk, DiskFile, FileSystem};
pub use making::PairingKeys;

const RECORD: usize = 128 * 1024;
const VAULT: usize = 1024 * 1024;

/// The state directory, locked by one daemon. Its methods block on the disk.
pub struct Store {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    live: Mutex<Live>,
    /// Held until the process ends.
    _lock: Box<dyn Send + Sync>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("root", &self.root).finish_non_exhaustive()
    }
}

/// Decides whether files of the live pairing may be written, by threads other than the one that ends the pairing. No thread holds
/// this lock while it writes the contents of a file, so that a hung write does not keep a wipe from unlinking files.
struct Live {
    /// Whether the pairing is live. Cleared when it ends: a write in progress must not create a file again.
    pairing: bool,
    /// Number of pairings that this process has committed. A write for an earlier pairing is dropped.
    generation: u64,
    /// The sequence number of the last verdict that was written. An older verdict does not replace it.
    verdict: u64,
}

impl Store {
    /// Opens the directory, and locks it for this process. Creates it if it is missing.
    ///
    /// # Errors
    /// [`StoreError`] if the directory belongs to another user, others may enter it, or another process uses it.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Self::open_on(Arc::new(FileSystem), root)
    }

    /// Opens the directory on this disk, as [`open`](Self::open) does.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(disk: Arc<dyn Disk>, root: &Path) -> Result<Self, StoreError> {
        let lock = disk.lock(root)?;
        let live = Mutex::new(Live { pairing: true, generation: 0, verdict: 0 });
        let store = Self { disk, root: root.to_owned(), live, _lock: lock };
        store.make_folder("receipts")?;
        Ok(store)
    }

    /// Returns the disk of the directory.
    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// Returns the record of the pairing, live or ended; none if there is none.
    pub fn pairing(&self) -> Result<Option<PairingRecord>, StoreError> {
        self.load("pairing/pairing.cbor")
    }

    /// Returns the keys of the pairing; none if one of them is missing.
    pub fn keys(&self) -> Result<Option<PairingKeys>, StoreError> {
        let key = |name: &str| -> Result<Option<KeyBlob>, StoreError> {
            Ok(self.load::<making::KeyFile>(name)?.map(making::KeyFile::into_blob))
        };
        Ok(match (key(LINK_KEY)?, key(DEVICE_KEY)?, key(VAULT_KEY)?, key(ACTION_KEY)?) {
            (Some(link), Some(device), Some(vault), Some(action)) => {
                Some(PairingKeys { link, device, vault, action })
            }
            _ => None,
        })
    }

    /// Returns the last verdict, as it was received.
    pub fn verdict(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(VERDICT, limits::ORDER)
    }

    /// Returns the last verdict with a lease, as it was received.
    pub fn lease(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(LEASE, limits::ORDER)
    }

    /// Writes a verdict of the live pairing, unless a newer one was written.
    pub fn put_verdict(&self, sequence: u64, message: &[u8], has_lease: bool) -> Result<(), StoreError> {
        let Some(generation) = self.live_generation() else { return Ok(()) };
        if sequence <= self.lock().verdict {
            return Ok(());
        }
        // Write the lease first: if the power fails in between, the broker delivers the unacknowledged verdict again.
        let names: &[&str] = if has_lease { &[LEASE, VERDICT] } else { &[VERDICT] };
        self.write_live(generation, names, message)?;
        let mut live = self.lock();
        if live.generation == generation {
            live.verdict = sequence;
        }
        Ok(())
    }

    /// Returns the generation of the live pairing; none if no pairing lives.
    fn live_generation(&self) -> Option<u64> {
        let live = self.lock();
        live.pairing.then_some(live.generation)
    }

    /// Writes the same contents to files of the live pairing of `generation`. If that pairing has ended meanwhile, removes the
    /// temporary files.
    fn write_live(&self, generation: u64, names: &[&str], contents: &[u8]) -> Result<(), StoreError> {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.root.join(name)).collect();
        let write = || {
            let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
            let prepared = atomic::prepare(&*self.disk, &paths, contents)?;
            let live = self.lock();
            if live.pairing && live.generation == generation {
                prepared.replace()?;
                drop(live);
                paths.first().map_or(Ok(()), |path| atomic::sync_parent(&*self.disk, path))
            } else {
                prepared.discard()
            }
        };
        write().map_err(|error| self.error(names.first().copied().unwrap_or_default(), error))
    }

    /// Removes the last verdict with a lease, and syncs the folder: a barred device must not find the lease after a power cut.
    pub fn remove_lease(&self) -> Result<(), StoreError> {
        self.remove(LEASE)?;
        self.sync_pairing()
    }

    /// Returns the floor of the wall clock that an earlier process wrote.
    pub fn time(&self) -> Result<Option<KnownTime>, StoreError> {
        self.load(TIME)
    }

    /// Writes the floor of the wall clock. The file stays when the pairing ends.
    pub fn put_time(&self, time: &KnownTime) -> Result<(), StoreError> {
        self.save(TIME, time)
    }

    /// Returns the sealed tokens.
    pub fn vault(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(VAULT_FILE, VAULT)
    }

    /// Writes the sealed tokens of the live pairing.
    pub fn put_vault(&self, sealed: &[u8]) -> Result<(), StoreError> {
        match self.live_generation() {
            Some(generation) => self.write_live(generation, &[VAULT_FILE], sealed),
            None => Ok(()),
        }
    }

    /// Unlinks keys, sealed tokens, verdicts and leases, and syncs the folder. The record of the pairing stays.
    pub fn destroy_keys(&self) -> Result<(), StoreError> {
        let mut live = self.lock();
        live.pairing = false;
        for name in [VAULT_FILE, LINK_KEY, DEVICE_KEY, VAULT_KEY, ACTION_KEY, VERDICT, LEASE] {
            self.remove(name)?;
        }
        self.sync_pairing()
    }

    fn sync_pairing(&self) -> Result<(), StoreError> {
        if self.disk.exists(&self.root.join("pairing")) { self.sync_folder("pairing") } else { Ok(()) }
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
        atomic::read(&*self.disk, &self.root.join(name), limit).map_err(|error| self.error(name, error))
    }

    fn write(&self, name: &str, contents: &[u8]) -> Result<(), StoreError> {
        atomic::write(&*self.disk, &self.root.join(name), contents).map_err(|error| self.error(name, error))
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        atomic::remove(&*self.disk, &self.root.join(name)).map_err(|error| self.error(name, error))
    }

    fn make_folder(&self, name: &str) -> Result<(), StoreError> {
        self.disk.make_folder(&self.root.join(name)).map_err(|error| self.error(name, error))
    }

    fn remove_folder(&self, name: &str) -> Result<(), StoreError> {
        atomic::remove_folder(&*self.disk, &self.root.join(name)).map_err(|error| self.error(name, error))
    }

    fn sync_folder(&self, name: &str) -> Result<(), StoreError> {
        self.disk.sync_folder(&self.root.join(name)).map_err(|error| self.error(name, error))
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

/// Why an operation on the state directory failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A system call failed.
    #[error("{}: {error}; check the disk, its free space and the owner of the state directory", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system call.
        error: io::Error,
    },
    /// A file does not decode.
    #[error("{} is damaged ({error}); pair the device again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why it does not decode.
        error: DecodeError,
    },
    /// The disk is too full for a pairing.
    #[error(
        "{}: a pairing needs {} KiB of free disk space; free some, then try again",
        .0.display(), making::RESERVE_KIB
    )]
    Space(PathBuf),
    /// This process must not use the state directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A key is larger than any key of a TPM.
    #[error("{name} cannot be encoded")]
    Unencodable {
        /// The file.
        name: String,
    },
    /// A value does not encode.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
