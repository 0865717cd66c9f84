//! Policies: files in which an operator says what devices must be and run.
//!
//! Each device is judged by the file that is named after it, else by `default.toml`, and where there is neither by
//! the exact states that were accepted for it. The files are read at the start and on SIGHUP, all or none of
//! them: a directory with a broken file is not half in force.

mod directory;
mod error;
mod file;
mod remedy;
mod render;
mod words;

use std::sync::{Arc, PoisonError, RwLock};

use pawl_proto::DeviceId;
use pawl_verifier::DevicePolicy;

pub(crate) use directory::Directory;
pub use error::{PolicyError, Problem};
pub use file::read;
pub(crate) use remedy::remedy;
pub(crate) use render::{heading, render, render_ima};
pub(crate) use words::sentences;

use crate::config::PolicyConfig;

/// The policies in force.
pub struct Policies {
    config: PolicyConfig,
    loaded: RwLock<Arc<Directory>>,
}

impl Policies {
    /// Reads them.
    ///
    /// # Errors
    /// [`PolicyError`] names the file, and the key where there is one.
    pub fn open(config: PolicyConfig) -> Result<Self, PolicyError> {
        let loaded = RwLock::new(Arc::new(Directory::read(&config)?));
        Ok(Self { config, loaded })
    }

    /// Reads them again. Those that were in force stay so when one of the files is broken. Gives how many there
    /// are.
    ///
    /// # Errors
    /// [`PolicyError`] names the file, and the key where there is one.
    pub fn reload(&self) -> Result<usize, PolicyError> {
        let read = Directory::read(&self.config)?;
        let count = read.len();
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
        Ok(count)
    }

    /// The policy of a device; none where exact states are compared.
    #[must_use]
    pub fn of(&self, device: DeviceId) -> Option<Arc<DevicePolicy>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).of(device)
    }
}

#[cfg(test)]
mod tests;
