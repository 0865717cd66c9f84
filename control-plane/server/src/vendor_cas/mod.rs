//! The TPM vendors' certificates that this control plane trusts: the directory `endorsement.vendor_cas`.

mod import;
pub mod view;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use pawl_evidence::endorsement::VendorCas;

use view::Listed;

pub use import::{ImportError, SourceError, WriteError, import};

/// Lists the contents of the directory; `now` is in Unix seconds.
///
/// # Errors
/// [`VendorCasError`] when it cannot be read.
pub fn list(directory: &Path, now: u64) -> Result<Listed, VendorCasError> {
    let cas = VendorCas::from_files(read_files(directory)?);
    Ok(Listed::of(directory, &cas, now))
}

/// The vendors' CAs in force.
pub struct Vendors(Option<Loaded>);

struct Loaded {
    directory: PathBuf,
    cas: RwLock<Arc<VendorCas>>,
}

impl Vendors {
    /// Reads the directory, if one is configured, and logs its unused files and the lists that are outdated at the time
    /// `now`, in Unix seconds.
    ///
    /// # Errors
    /// [`VendorCasError`] when it cannot be read, or has no usable certificate: every device would be refused.
    pub fn open(directory: Option<&Path>, now: u64) -> Result<Self, VendorCasError> {
        let Some(directory) = directory else { return Ok(Self(None)) };
        let cas = RwLock::new(Arc::new(read_directory(directory, now)?));
        Ok(Self(Some(Loaded { directory: directory.to_owned(), cas })))
    }

    /// Reads the directory again, and returns how many CAs are trusted. After an error, the loaded CAs stay in force.
    ///
    /// # Errors
    /// As for [`Vendors::open`].
    pub fn reload(&self, now: u64) -> Result<usize, VendorCasError> {
        let Some(loaded) = &self.0 else { return Ok(0) };
        let cas = read_directory(&loaded.directory, now)?;
        let count = cas.len();
        *loaded.cas.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(cas);
        Ok(count)
    }

    /// Returns the CAs in force; none if no directory is configured, so that no certificate is required.
    #[must_use]
    pub fn current(&self) -> Option<Arc<VendorCas>> {
        let loaded = self.0.as_ref()?;
        Some(Arc::clone(&loaded.cas.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Returns whether a device needs a vendor's certificate.
    #[must_use]
    pub fn are_required(&self) -> bool {
        self.0.is_some()
    }
}

/// The largest file of certificates or revocation list.
const FILE_MAX_LEN: u64 = 16 * 1024 * 1024;
/// More files than all TPM vendors together publish.
const FILES_MAX: usize = 8192;

/// Reads all files of the directory, and logs unused files and outdated revocation lists.
fn read_directory(directory: &Path, now: u64) -> Result<VendorCas, VendorCasError> {
    let cas = VendorCas::from_files(read_files(directory)?);
    for skipped in cas.skipped() {
        tracing::warn!(file = %skipped.file, reason = %skipped.reason, "a file of the vendor directory is not used");
    }
    for (file, _, revoked_by) in cas.cas() {
        if let Some(issuer) = revoked_by {
            tracing::warn!(file, issuer, "a vendor's CA was revoked and is not trusted");
        }
    }
    for (file, list) in cas.lists().filter(|(_, list)| list.is_stale_at(now)) {
        tracing::warn!(
            file,
            issuer = list.issuer(),
            "a revocation list is out of date: certificates on it stay revoked, but later revocations are unknown; \
             import a newer list"
        );
    }
    if cas.is_empty() {
        return Err(VendorCasError::Empty { directory: directory.to_owned() });
    }
    Ok(cas)
}

/// Reads the files of the directory by name, without hidden files and directories.
fn read_files(directory: &Path) -> Result<Vec<(String, Vec<u8>)>, VendorCasError> {
    let unreadable = |path: PathBuf| move |source| VendorCasError::Unreadable { path, source };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable(directory.to_owned()))? {
        let entry = entry.map_err(unreadable(directory.to_owned()))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let metadata = fs::metadata(&path).map_err(unreadable(path.clone()))?;
        if name.starts_with('.') || !metadata.is_file() {
            continue;
        }
        if files.len() >= FILES_MAX {
            return Err(VendorCasError::TooMany { directory: directory.to_owned() });
        }
        files.push((name, read_file(&path).map_err(unreadable(path.clone()))?));
    }
    files.sort();
    Ok(files)
}

/// Reads a file, up to one byte more than the limit, which the parser then refuses.
fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    fs::File::open(path)?.take(FILE_MAX_LEN + 1).read_to_end(&mut contents)?;
    Ok(contents)
}

/// Why a vendor directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VendorCasError {
    /// The directory or one of its files cannot be read.
    #[error(
        "endorsement.vendor_cas: {}: {source}; make it readable for the server's user, or remove the setting to \
         pair devices by hash alone",
        path.display()
    )]
    Unreadable {
        /// The directory or the file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It contains no usable CA certificate.
    #[error(
        "endorsement.vendor_cas: {} has no CA certificate that can be used, so every device would be refused; \
         `pawl-control-plane vendor-cas import` fills it",
        directory.display()
    )]
    Empty {
        /// The directory.
        directory: PathBuf,
    },
    /// It contains too many files.
    #[error("endorsement.vendor_cas: {} has more than {FILES_MAX} files", directory.display())]
    TooMany {
        /// The directory.
        directory: PathBuf,
    },
}
