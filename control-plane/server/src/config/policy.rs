use std::path::{Path, PathBuf};

use serde::Deserialize;

/// `[policy]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// Where policies stand; `policy` beside the configuration file if it is not given.
    pub directory: Option<PathBuf>,
    #[serde(skip)]
    beside: PathBuf,
}

impl PolicyConfig {
    /// Tells it where the configuration file stands.
    pub(super) fn settle(&mut self, file: &Path) {
        self.beside = file.parent().unwrap_or(Path::new("")).join("policy");
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.as_ref().unwrap_or(&self.beside)
    }

    /// Whether there need not be one: nobody has named it.
    #[must_use]
    pub fn may_be_missing(&self) -> bool {
        self.directory.is_none()
    }
}
