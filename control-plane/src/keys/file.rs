use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// No key or certificate of ours comes near it.
const MAX_LENGTH: u64 = 64 * 1024;

/// A key or certificate file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", file.display())]
pub struct FileError {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Makes a directory that its owner alone may enter; one that exists must be such a directory.
pub(super) fn private_dir(path: &Path) -> Result<(), FileError> {
    let make = || {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
            return Err(io::Error::other("others may enter this directory; chmod 0700 it"));
        }
        Ok(())
    };
    make().map_err(|source| FileError { file: path.to_owned(), source })
}

/// The contents of a file of ours.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let read = || {
        let mut text = Zeroizing::new(String::new());
        File::open(path)?.take(MAX_LENGTH).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|source| FileError { file: path.to_owned(), source })
}

/// Writes a file whole or not at all, mode 0600, and on the disk before this returns.
pub(super) fn write(path: &Path, contents: &str) -> Result<(), FileError> {
    let write = || {
        let parent = path.parent().ok_or_else(|| io::Error::other("it has no directory"))?;
        let temporary = path.with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(contents.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(parent)?.sync_all()
    };
    write().map_err(|source| FileError { file: path.to_owned(), source })
}
