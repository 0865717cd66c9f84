//! The disk under the store and the audit records. The daemon uses [`FileSystem`]. The simulator uses a model that loses power,
//! fills up, hangs and fails.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::posix_fallocate;

use super::directory::{self, DirectoryError};

/// A disk with folders and files. An operation survives a power cut only after a sync of the file, or of the folder with its name.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Creates the state directory if it is missing, checks its owner and its mode, and locks it until the returned value is
    /// dropped.
    ///
    /// # Errors
    /// [`DirectoryError`] if this process must not use it.
    fn lock(&self, root: &Path) -> Result<Box<dyn Send + Sync>, DirectoryError>;

    /// Creates a file, mode 0600. Fails if the name exists, also as a symbolic link (open(2), `O_EXCL`): another process cannot
    /// have prepared the file.
    ///
    /// # Errors
    /// As open(2).
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for writing.
    ///
    /// # Errors
    /// As open(2).
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Returns at most the first `limit` bytes of a file.
    ///
    /// # Errors
    /// As open(2) and read(2).
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;

    /// Renames a file or a folder to `to`. Replaces a file of that name.
    ///
    /// # Errors
    /// As rename(2).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name, `to`.
    ///
    /// # Errors
    /// As link(2).
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As unlink(2).
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Creates a folder and its parents, mode 0700, if they are missing.
    ///
    /// # Errors
    /// As mkdir(2).
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Returns the names in a folder, in any order.
    ///
    /// # Errors
    /// As opendir(3).
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Removes a folder and its contents.
    ///
    /// # Errors
    /// As unlink(2) and rmdir(2).
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Syncs the names in a folder.
    ///
    /// # Errors
    /// As fsync(2).
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Returns whether a file or a folder has this name.
    fn exists(&self, path: &Path) -> bool;
}

/// A file that is open for writing.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Writes all of `contents` at `offset`.
    ///
    /// # Errors
    /// As write(2). A part may have been written.
    fn write_at(&self, contents: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file to `length` bytes, or extends it with zeros.
    ///
    /// # Errors
    /// As ftruncate(2).
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Allocates the space of the first `length` bytes.
    ///
    /// # Errors
    /// As posix_fallocate(3).
    fn allocate(&self, length: u64) -> io::Result<()>;

    /// Syncs the contents and all metadata.
    ///
    /// # Errors
    /// As fsync(2).
    fn sync(&self) -> io::Result<()>;

    /// Syncs the contents and the metadata that is needed to read them.
    ///
    /// # Errors
    /// As fdatasync(2).
    fn sync_contents(&self) -> io::Result<()>;
}

/// The file system of this machine.
#[derive(Clone, Copy, Debug)]
pub struct FileSystem;

impl Disk for FileSystem {
    fn lock(&self, root: &Path) -> Result<Box<dyn Send + Sync>, DirectoryError> {
        Ok(Box::new(directory::open(root)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().write(true).open(path)?))
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut contents = Vec::new();
        File::open(path)?.take(limit).read_to_end(&mut contents)?;
        Ok(contents)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(folder)?.filter_map(Result::ok);
        Ok(entries.filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
}

impl DiskFile for File {
    fn write_at(&self, contents: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(contents, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let length = length.try_into().map_err(|_| io::ErrorKind::FileTooLarge)?;
        Ok(posix_fallocate(self, 0, length)?)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn sync_contents(&self) -> io::Result<()> {
        self.sync_data()
    }
}
