//! Files that are whole or absent, also after a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes a file, mode 0600, so that a reader finds the old contents or the new ones, and the new
/// ones from here on.
pub(super) fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    replace(path, contents, File::sync_all)?;
    sync_parent(path)
}

/// A file's new contents, on the disk beside it.
pub(super) struct Prepared<'a> {
    path: &'a Path,
    temporary: PathBuf,
}

/// Writes new contents beside a file.
pub(super) fn prepare<'a>(path: &'a Path, contents: &[u8]) -> io::Result<Prepared<'a>> {
    let temporary = temporary(path, contents, File::sync_all)?;
    Ok(Prepared { path, temporary })
}

impl Prepared<'_> {
    /// Puts the contents in the file's place.
    pub(super) fn replace(self) -> io::Result<()> {
        fs::rename(&self.temporary, self.path)
    }

    /// Drops the contents.
    pub(super) fn discard(self) -> io::Result<()> {
        remove(&self.temporary)
    }
}

/// The same, without waiting for the disk: it outlives the process, and perhaps the power.
pub(super) fn write_soon(path: &Path, contents: &[u8]) -> io::Result<()> {
    replace(path, contents, |_| Ok(()))
}

fn replace(path: &Path, contents: &[u8], sync: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    fs::rename(temporary(path, contents, sync)?, path)
}

/// Writes contents to the temporary file of `path`. Returns its name.
fn temporary(
    path: &Path,
    contents: &[u8],
    sync: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<PathBuf> {
    let temporary = path.with_extension("tmp");
    // An earlier process may have left one. It is removed, never opened: it could be a link to another file.
    remove(&temporary)?;
    let mut file = create(&temporary)?;
    file.write_all(contents)?;
    sync(&file)?;
    Ok(temporary)
}

/// Creates a file, mode 0600, that nobody else can have prepared: the call fails where the name exists, also
/// where it is a symbolic link (open(2), `O_EXCL`).
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Reads a file of at most `limit` bytes; none when it does not exist.
pub(super) fn read(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut contents = Vec::new();
    file.take(limit + 1).read_to_end(&mut contents)?;
    if u64::try_from(contents.len()).unwrap_or(u64::MAX) > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is larger than it can be"));
    }
    Ok(Some(contents))
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes a folder and what is in it, if it is there.
pub(super) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes the names in a folder last.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_link_in_place_of_the_temporary_file_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("record"), folder.path().join("victim"));
        fs::write(&victim, b"untouched").unwrap();
        symlink(&victim, path.with_extension("tmp")).unwrap();
        write(&path, b"secret").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        assert!(fs::symlink_metadata(&path).unwrap().is_file(), "the record is a link");
        assert!(create(&path).is_err(), "an existing file was opened");
    }

    #[test]
    fn a_file_that_others_prepared_does_not_lend_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        let prepared = path.with_extension("tmp");
        fs::write(&prepared, b"").unwrap();
        fs::set_permissions(&prepared, fs::Permissions::from_mode(0o666)).unwrap();
        write_soon(&path, b"secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_is_replaced_whole_and_read_within_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        assert_eq!(read(&path, 10).unwrap(), None);
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(read(&path, 6).unwrap().as_deref(), Some(b"second".as_slice()));
        assert!(read(&path, 5).is_err(), "a file above its limit was read");
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a temporary file stayed");
        remove_folder(folder.path()).unwrap();
        remove_folder(folder.path()).unwrap();
    }
}
