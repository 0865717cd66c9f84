//! The TPM vendors that this control plane trusts: the directory `endorsement.vendor_cas`.

mod directory;
mod import;
pub mod view;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use pawl_evidence::endorsement::VendorCas;

pub use directory::VendorCasError;
pub use import::{ImportError, SourceError, WriteError, import};
use view::Listed;

/// Lists what the directory has, at the time `now` in seconds since 1970.
///
/// # Errors
/// [`VendorCasError`] when it cannot be read.
pub fn list(directory: &Path, now: u64) -> Result<Listed, VendorCasError> {
    let cas = VendorCas::from_files(directory::files(directory)?);
    Ok(Listed::of(directory, &cas, now))
}

/// The vendors' CAs in force.
pub struct Vendors(Option<Loaded>);

struct Loaded {
    directory: PathBuf,
    cas: RwLock<Arc<VendorCas>>,
}

impl Vendors {
    /// Reads the directory, where one is configured, and logs what in it is not used or out of date at the time
    /// `now`, in seconds since 1970.
    ///
    /// # Errors
    /// [`VendorCasError`] when it cannot be read, or has no certificate that can be used: every device would
    /// be refused.
    pub fn open(directory: Option<&Path>, now: u64) -> Result<Self, VendorCasError> {
        let Some(directory) = directory else { return Ok(Self(None)) };
        let cas = RwLock::new(Arc::new(directory::read(directory, now)?));
        Ok(Self(Some(Loaded { directory: directory.to_owned(), cas })))
    }

    /// Reads the directory again, and returns how many CAs are trusted now. After an error, the CAs that were
    /// read before stay in force.
    ///
    /// # Errors
    /// As for [`Vendors::open`].
    pub fn reload(&self, now: u64) -> Result<usize, VendorCasError> {
        let Some(loaded) = &self.0 else { return Ok(0) };
        let cas = directory::read(&loaded.directory, now)?;
        let count = cas.len();
        *loaded.cas.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(cas);
        Ok(count)
    }

    /// The CAs in force; none where no directory is configured, and no certificate is required.
    #[must_use]
    pub fn current(&self) -> Option<Arc<VendorCas>> {
        let loaded = self.0.as_ref()?;
        Some(Arc::clone(&loaded.cas.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Whether a device needs a vendor's certificate.
    #[must_use]
    pub fn are_required(&self) -> bool {
        self.0.is_some()
    }
}
