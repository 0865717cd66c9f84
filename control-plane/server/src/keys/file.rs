use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The longest key or certificate file that is read.
const MAX_LENGTH: u64 = 64 * 1024;
const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// Why a key or certificate file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", file.display())]
pub struct FileError {
    /// The file.
    pub file: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

/// Creates a directory that only this process's user may enter. An existing one must belong to that user and be closed to
/// others.
pub(super) fn private_dir(path: &Path) -> Result<(), FileError> {
    let make = || {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let (found, user) = (fs::metadata(path)?, rustix::process::geteuid().as_raw());
        if found.uid() != user {
            let owner = found.uid();
            return Err(io::Error::other(format!(
                "user {owner} owns this directory and this process runs as user {user}; run it as user {owner}, or \
                 chown the directory"
            )));
        }
        if found.permissions().mode() & 0o077 != 0 {
            return Err(io::Error::other("others may enter this directory; chmod 0700 it"));
        }
        Ok(())
    };
    make().map_err(|source| FileError { file: path.to_owned(), source })
}

/// Reads a key or certificate file.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let read = || {
        let mut text = Zeroizing::new(String::new());
        File::open(path)?.take(MAX_LENGTH).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|source| FileError { file: path.to_owned(), source })
}

/// Writes a file atomically, mode 0600, and syncs it to the disk.
pub(super) fn write(path: &Path, contents: &str) -> Result<(), FileError> {
    write_with(path, contents, SECRET)
}

/// As [`write`], with mode 0644, so that others can read a copy that root makes of the file.
pub(super) fn write_public(path: &Path, contents: &str) -> Result<(), FileError> {
    write_with(path, contents, PUBLIC)
}

/// Lets others read a file of an earlier version.
pub(super) fn make_public(path: &Path) -> Result<(), FileError> {
    let make = || match fs::metadata(path)?.permissions().mode() & 0o7777 {
        PUBLIC => Ok(()),
        _ => fs::set_permissions(path, fs::Permissions::from_mode(PUBLIC)),
    };
    make().map_err(|source| FileError { file: path.to_owned(), source })
}

fn write_with(path: &Path, contents: &str, mode: u32) -> Result<(), FileError> {
    let write = || {
        let parent = path.parent().ok_or_else(|| io::Error::other("it has no directory"))?;
        let temporary = path.with_extension("new");
        // A process that was killed may have left one. It is removed, never opened: it could be a link to another file.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        // Sets the mode independently of the umask.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(contents.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(parent)?.sync_all()
    };
    write().map_err(|source| FileError { file: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_in_place_of_the_temporary_key_file_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("lease.key"), folder.path().join("victim"));
        fs::write(&victim, "untouched").unwrap();
        symlink(&victim, path.with_extension("new")).unwrap();
        write(&path, "secret").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().as_str(), "secret");
    }

    #[test]
    fn a_certificate_can_be_read_by_others_and_so_can_one_of_an_earlier_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        write_public(&path, "certificate").unwrap();
        assert_eq!(mode(), 0o644);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        make_public(&path).unwrap();
        assert_eq!(mode(), 0o644);
    }

    #[test]
    fn a_state_directory_that_others_may_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        private_dir(&path).unwrap();
        private_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(private_dir(&path).unwrap_err().to_string().contains("chmod 0700"));
    }

    #[test]
    fn a_state_directory_of_another_user_is_refused() {
        // A directory of root or, if root runs this test, one that is given to another user.
        let folder = tempfile::tempdir().unwrap();
        let path = if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(1), None).unwrap();
            folder.path()
        } else {
            Path::new("/root")
        };
        assert!(private_dir(path).unwrap_err().to_string().contains("owns this directory"));
    }
}
