//! A device's disk, as a thief or a restored backup has it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::Device;
use crate::rig::{process, wait};

impl Device {
    /// A copy of its disk: all that the daemon stores. The daemon may run meanwhile.
    ///
    /// # Errors
    /// When files cannot be copied.
    pub fn copy_disk(&self, to: &Path) -> Result<StateCopy> {
        // A file that the daemon is just replacing goes while it is copied.
        wait::until("the disk is copied", wait::SOON, || {
            remove_tree(to)?;
            copy_tree(&self.state_dir, to)
        })?;
        Ok(StateCopy { path: to.to_owned() })
    }

    /// Puts an old disk back. The daemon must be stopped.
    ///
    /// # Errors
    /// When it runs, or files cannot be copied.
    pub fn restore_disk(&mut self, copy: &StateCopy) -> Result<()> {
        self.new_disk()?;
        copy_tree(&copy.path, &self.state_dir)
    }

    /// Puts an empty disk in. The daemon must be stopped.
    ///
    /// # Errors
    /// When it runs, or files cannot be removed.
    pub fn new_disk(&mut self) -> Result<()> {
        if self.daemon.is_some() {
            bail!("the daemon must be stopped before its disk is replaced");
        }
        remove_tree(&self.state_dir)
    }
}

/// An old disk.
pub struct StateCopy {
    path: PathBuf,
}

impl StateCopy {
    /// What was taken off a disk by other means.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The bytes of a file on it.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        fs::read(self.path.join(name)).with_context(|| format!("read {name} of the old disk"))
    }
}

fn remove_tree(tree: &Path) -> Result<()> {
    match fs::remove_dir_all(tree) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome.with_context(|| format!("remove {}", tree.display())),
    }
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let mut copy = Command::new("cp");
    copy.arg("--archive").arg("--no-target-directory").arg(from).arg(to);
    process::run(&copy).map(drop)
}
