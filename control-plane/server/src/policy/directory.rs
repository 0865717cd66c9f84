use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use pawl_proto::DeviceId;
use pawl_verifier::DevicePolicy;

use super::{PolicyError, Problem, read};
use crate::config::PolicyConfig;

/// The file for devices that have none of their own.
const DEFAULT: &str = "default.toml";

/// A directory of policies, as it was read.
#[derive(Default)]
pub(crate) struct Directory {
    devices: BTreeMap<DeviceId, Arc<DevicePolicy>>,
    default: Option<Arc<DevicePolicy>>,
}

impl Directory {
    /// Reads every file whose name ends in `.toml`.
    pub(crate) fn read(config: &PolicyConfig) -> Result<Self, PolicyError> {
        let path = config.directory();
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound && config.may_be_missing() => {
                return Ok(Self::default());
            }
            Err(error) => return Err(PolicyError::new(path, error)),
        };
        let mut directory = Self::default();
        for entry in entries {
            let file = entry.map_err(|error| PolicyError::new(path, error))?.path();
            if file.extension().is_some_and(|extension| extension == "toml") {
                directory.add(&file)?;
            }
        }
        Ok(directory)
    }

    fn add(&mut self, file: &Path) -> Result<(), PolicyError> {
        if file.file_name().is_some_and(|name| name == DEFAULT) {
            self.default = Some(Arc::new(read(file)?));
            return Ok(());
        }
        let name = file.file_stem().and_then(|name| name.to_str());
        let device = name.and_then(|name| name.parse().ok());
        let device = device.ok_or_else(|| PolicyError::new(file, Problem::Name))?;
        self.devices.insert(device, Arc::new(read(file)?));
        Ok(())
    }

    /// The policy of a device.
    pub(super) fn of(&self, device: DeviceId) -> Option<Arc<DevicePolicy>> {
        self.devices.get(&device).or(self.default.as_ref()).cloned()
    }

    /// All of them, by the names of their files.
    pub(crate) fn all(&self) -> impl Iterator<Item = &DevicePolicy> {
        self.devices.values().chain(&self.default).map(Arc::as_ref)
    }

    pub(super) fn len(&self) -> usize {
        self.all().count()
    }
}
