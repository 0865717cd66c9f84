//! What the store and the assurance records ask of a disk. The daemon has [`FileSystem`]; the simulator has a model that
//! loses power, fills up, hangs and fails.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::posix_fallocate;

use super::directory::{self, DirectoryError};

/// A disk with folders and files. An operation is on it for good only once the file, or the folder that names it, is
/// synced.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Makes the state directory where it is missing, checks who may enter it, and locks it until the returned value is
    /// dropped.
    ///
    /// # Errors
    /// [`DirectoryError`] when this process must not use it.
    fn lock(&self, root: &Path) -> Result<Box<dyn Send + Sync>, DirectoryError>;

    /// Creates a file, mode 0600. Nobody else can have prepared it: the call fails where the name exists, also where
    /// it is a symbolic link (open(2), `O_EXCL`).
    ///
    /// # Errors
    /// As open(2).
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for writing.
    ///
    /// # Errors
    /// As open(2).
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Returns a file's contents, cut after `limit` bytes.
    ///
    /// # Errors
    /// As open(2) and read(2).
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;

    /// Puts a file or a folder in the place of `to`.
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

    /// Makes a folder, mode 0700, and those above it, where they are missing.
    ///
    /// # Errors
    /// As mkdir(2).
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Returns the names in a folder, in no order.
    ///
    /// # Errors
    /// As opendir(3).
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Removes a folder and what is in it.
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
    /// As write(2); a part may be written.
    fn write_at(&self, contents: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file to `length` bytes, or extends it by zeros.
    ///
    /// # Errors
    /// As ftruncate(2).
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Allocates the space of the first `length` bytes.
    ///
    /// # Errors
    /// As posix_fallocate(3).
    fn allocate(&self, length: u64) -> io::Result<()>;

    /// Syncs the contents and everything that the file system knows of the file.
    ///
    /// # Errors
    /// As fsync(2).
    fn sync(&self) -> io::Result<()>;

    /// Syncs the contents and what is needed to read them.
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
