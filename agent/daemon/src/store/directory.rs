//! The state directory itself: its owner, its mode, and its lock.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// Creates the directory if it is missing, checks its owner and its mode, and locks it.
///
/// Two daemons with the same state would take over each other's MQTT session, and the control plane would report a clone. The lock
/// ends when the returned file is closed, and so also when the process is killed.
///
/// # Errors
/// [`DirectoryError`]
pub(super) fn open(path: &Path) -> Result<File, DirectoryError> {
    let io = |error| DirectoryError::Io { path: path.to_owned(), error };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
    let (found, user) = (fs::metadata(path).map_err(io)?, geteuid().as_raw());
    if found.uid() != user {
        return Err(DirectoryError::Owner { path: path.to_owned(), owner: found.uid(), user });
    }
    if found.permissions().mode() & 0o077 != 0 {
        return Err(DirectoryError::Open(path.to_owned()));
    }
    let mut options = OpenOptions::new();
    // Neither truncate the file nor follow a symbolic link.
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    let file = options.open(path.join("lock")).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DirectoryError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// A state directory that this process must not use.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another user owns it.
    #[error(
        "{}: user {owner} owns the state directory and pawld runs as user {user}; \
         start pawld with systemctl, or chown the directory",
        path.display()
    )]
    Owner {
        /// The directory.
        path: PathBuf,
        /// The user id of its owner.
        owner: u32,
        /// The user id of this process.
        user: u32,
    },
    /// Others may enter it.
    #[error("{}: others may enter the state directory; run: chmod 0700 {}", .0.display(), .0.display())]
    Open(PathBuf),
    /// Another process has locked it.
    #[error("{}: another pawld uses the state directory; stop that one, or give this one a state_dir of its own", .0.display())]
    InUse(PathBuf),
    /// A system call failed.
    #[error("{}: {error}; check the disk and the owner of the state directory", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The error of the system call.
        error: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    #[test]
    fn a_state_directory_serves_one_daemon_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let first = open(&path).unwrap();
        assert!(matches!(open(&path), Err(DirectoryError::InUse(_))));
        drop(first);
        open(&path).unwrap();
    }

    #[test]
    fn a_state_directory_that_others_may_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o750, 0o701, 0o777] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(open(folder.path()), Err(DirectoryError::Open(_))), "mode {mode:o}");
        }
    }

    #[test]
    fn a_state_directory_of_another_user_is_refused() {
        // If root runs this test, a directory that is given to another user; otherwise a directory of root.
        let folder = tempfile::tempdir().unwrap();
        let path = if geteuid().is_root() {
            chown(folder.path(), Some(1), None).unwrap();
            folder.path()
        } else {
            Path::new("/root")
        };
        assert!(matches!(open(path), Err(DirectoryError::Owner { .. })));
    }

    #[test]
    fn a_lock_file_that_is_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        drop(open(&path).unwrap());
        fs::remove_file(path.join("lock")).unwrap();
        symlink(folder.path().join("elsewhere"), path.join("lock")).unwrap();
        assert!(matches!(open(&path), Err(DirectoryError::Io { .. })));
        assert!(!folder.path().join("elsewhere").exists());
    }
}
