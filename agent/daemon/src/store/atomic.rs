//! Atomic replacement of files: after a power cut a file has its old or its new contents.

use std::io;
use std::path::{Path, PathBuf};

use super::{Disk, DiskFile};

/// Replaces a file, mode 0600, and syncs it. Meanwhile, and after a power cut, a reader finds the old or the new contents.
pub(super) fn write(disk: &dyn Disk, path: &Path, contents: &[u8]) -> io::Result<()> {
    write_all(disk, &[path], contents)
}

/// Writes the same contents to files of one folder, each as [`write`] does.
pub(super) fn write_all(disk: &dyn Disk, paths: &[&Path], contents: &[u8]) -> io::Result<()> {
    prepare(disk, paths, contents)?.replace()?;
    paths.first().map_or(Ok(()), |path| sync_parent(disk, path))
}

/// The new contents of files, in temporary files beside them.
pub(super) struct Prepared<'a> {
    disk: &'a dyn Disk,
    files: Vec<(PathBuf, &'a Path)>,
}

/// Writes and syncs new contents for files of one folder, in temporary files beside them.
pub(super) fn prepare<'a>(
    disk: &'a dyn Disk,
    paths: &[&'a Path],
    contents: &[u8],
) -> io::Result<Prepared<'a>> {
    let mut files: Vec<(PathBuf, &Path)> = Vec::new();
    for path in paths {
        let temporary = match files.first() {
            Some((first, _)) => second(disk, first, path, contents)?,
            None => synced(disk, path, contents)?,
        };
        files.push((temporary, path));
    }
    Ok(Prepared { disk, files })
}

impl Prepared<'_> {
    /// Renames the temporary files to the files, in their order.
    pub(super) fn replace(self) -> io::Result<()> {
        self.files.iter().try_for_each(|(temporary, path)| self.disk.rename(temporary, path))
    }

    /// Removes the temporary files.
    pub(super) fn discard(self) -> io::Result<()> {
        self.files.iter().try_for_each(|(temporary, _)| remove(self.disk, temporary))
    }
}

/// Makes a hard link to `first` as the temporary file of `path`, so that the contents are on the disk once. On a file system
/// without hard links, writes them again.
fn second(disk: &dyn Disk, first: &Path, path: &Path, contents: &[u8]) -> io::Result<PathBuf> {
    let temporary = path.with_extension("tmp");
    remove(disk, &temporary)?;
    match disk.link(first, &temporary) {
        Ok(()) => Ok(temporary),
        Err(_) => synced(disk, path, contents),
    }
}

fn synced(disk: &dyn Disk, path: &Path, contents: &[u8]) -> io::Result<PathBuf> {
    let (temporary, file) = temporary(disk, path, contents)?;
    file.sync()?;
    Ok(temporary)
}

/// Replaces a file as [`write`] does, but without a sync: the contents survive the end of the process, and perhaps not a power cut.
pub(super) fn write_soon(disk: &dyn Disk, path: &Path, contents: &[u8]) -> io::Result<()> {
    let (temporary, _) = temporary(disk, path, contents)?;
    disk.rename(&temporary, path)
}

/// Writes contents to the temporary file of `path`. Returns its name, and the file.
fn temporary(disk: &dyn Disk, path: &Path, contents: &[u8]) -> io::Result<(PathBuf, Box<dyn DiskFile>)> {
    let temporary = path.with_extension("tmp");
    // Remove a temporary file that an earlier process left. Do not open it: it could be a link to another file.
    remove(disk, &temporary)?;
    let file = disk.create(&temporary)?;
    file.write_at(contents, 0)?;
    Ok((temporary, file))
}

/// Reads a file of at most `limit` bytes; none if it does not exist.
pub(super) fn read(disk: &dyn Disk, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match disk.read(path, limit.saturating_add(1)) {
        Ok(contents) if u64::try_from(contents.len()).unwrap_or(u64::MAX) > limit => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the file is larger than its limit"))
        }
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file, if it exists.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    unless_missing(disk.remove(path))
}

/// Removes a folder and its contents, if it exists.
pub(crate) fn remove_folder(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    unless_missing(disk.remove_folder(path))
}

fn unless_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Syncs the folder of a file, and so the file's name.
pub(crate) fn sync_parent(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| disk.sync_folder(folder))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;
    use crate::store::FileSystem;

    #[test]
    fn a_link_with_the_name_of_the_temporary_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("record"), folder.path().join("victim"));
        fs::write(&victim, b"untouched").unwrap();
        symlink(&victim, path.with_extension("tmp")).unwrap();
        write(&FileSystem, &path, b"secret").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        assert!(fs::symlink_metadata(&path).unwrap().is_file(), "the record is a link");
        assert!(FileSystem.create(&path).is_err(), "an existing file was opened");
    }

    #[test]
    fn the_mode_of_a_prepared_temporary_file_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        let prepared = path.with_extension("tmp");
        fs::write(&prepared, b"").unwrap();
        fs::set_permissions(&prepared, fs::Permissions::from_mode(0o666)).unwrap();
        write_soon(&FileSystem, &path, b"secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn files_written_together_share_their_contents_until_one_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        for contents in [b"first".as_slice(), b"second"] {
            write_all(&FileSystem, &[&one, &other], contents).unwrap();
            assert_eq!(
                (fs::read(&one).unwrap(), fs::read(&other).unwrap()),
                (contents.into(), contents.into())
            );
            assert_eq!(fs::metadata(&one).unwrap().ino(), fs::metadata(&other).unwrap().ino());
        }
        write(&FileSystem, &one, b"third").unwrap();
        assert_eq!((fs::read(&one).unwrap(), fs::read(&other).unwrap()), (b"third".into(), b"second".into()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "a temporary file stayed");
    }

    #[test]
    fn a_file_is_replaced_and_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        assert_eq!(read(&FileSystem, &path, 10).unwrap(), None);
        write(&FileSystem, &path, b"first").unwrap();
        write(&FileSystem, &path, b"second").unwrap();
        assert_eq!(read(&FileSystem, &path, 6).unwrap().as_deref(), Some(b"second".as_slice()));
        assert!(read(&FileSystem, &path, 5).is_err(), "a file above its limit was read");
        remove(&FileSystem, &path).unwrap();
        remove(&FileSystem, &path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a temporary file stayed");
        remove_folder(&FileSystem, folder.path()).unwrap();
        remove_folder(&FileSystem, folder.path()).unwrap();
    }
}
