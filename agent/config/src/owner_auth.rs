//! The owner hierarchy's authorization value, which is in a file of its own.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::TpmConfig;

/// The longest authorization value of any TPM: the size of its largest digest (TPM 2.0 Library,
/// Part 2, `TPM2B_AUTH`).
const LIMIT: usize = 64;

impl TpmConfig {
    /// Reads the owner hierarchy's authorization value; none if no file is configured. One
    /// newline at the end is not part of it.
    ///
    /// # Errors
    /// [`OwnerAuthError`] when the file cannot be read or holds more than a TPM takes.
    pub fn read_owner_auth(&self) -> Result<Option<Zeroizing<Vec<u8>>>, OwnerAuthError> {
        self.owner_auth.as_deref().map(read).transpose()
    }
}

/// Why the authorization value is refused. The error contains no part of the value.
#[derive(Debug, thiserror::Error)]
pub enum OwnerAuthError {
    /// The file cannot be read.
    #[error("cannot read the TPM's owner authorization (tpm.owner_auth) from {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is longer than any TPM's value can be.
    #[error(
        "{} (tpm.owner_auth) holds more than {LIMIT} bytes, and no TPM has so long an authorization value",
        path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, OwnerAuthError> {
    // A buffer that grows would leave a copy of the secret behind.
    let mut value = Zeroizing::new([0_u8; LIMIT + 2]);
    let mut length = 0;
    let failed = |source| OwnerAuthError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    loop {
        match file.read(value.get_mut(length..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let value = value.get(..length).unwrap_or_default();
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    if value.len() > LIMIT {
        return Err(OwnerAuthError::TooLong { path: path.to_owned() });
    }
    Ok(Zeroizing::new(value.to_vec()))
}

/// Returns the path of the credential that systemd passes to the unit (systemd.exec(5), `LoadCredential=`), if it exists.
pub(crate) fn credential(variables: &[(String, String)]) -> Option<PathBuf> {
    let (_, directory) = variables.iter().find(|(name, _)| name == "CREDENTIALS_DIRECTORY")?;
    Some(Path::new(directory).join("tpm-owner-auth")).filter(|path| path.exists())
}
