//! A log of measurements that a daemon reads while it grows.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The file, and the place in it where the next record goes.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    /// An empty one, as a boot begins with.
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        let file = file.with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path, file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn append(&mut self, records: &[u8]) -> Result<()> {
        self.file.write_all(records).with_context(|| format!("write {}", self.path.display()))
    }

    pub(super) fn set_mode(&self, mode: u32) -> Result<()> {
        let set = fs::set_permissions(&self.path, Permissions::from_mode(mode));
        set.with_context(|| format!("set the mode of {}", self.path.display()))
    }
}
