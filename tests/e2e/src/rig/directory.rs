//! The private directory of a rig.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::wait::Interrupted;

/// A directory that only its owner may enter, and that is gone with its value.
pub struct Directory {
    root: TempDir,
}

/// The lines of each log that are shown when something failed.
const TAIL: usize = 25;

impl Directory {
    /// An empty one, under `TMPDIR`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn temporary() -> Result<Self> {
        // The names of Unix sockets in it must stay below 108 bytes.
        let root =
            tempfile::Builder::new().prefix("pawl-").tempdir().context("make a temporary directory")?;
        let directory = Self { root };
        directory.create("log")?;
        Ok(directory)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Makes a directory in it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    /// The log of the process that is called `name`.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.path().join("log").join(format!("{name}.log"))
    }

    /// Prints the last lines of every log beside a failure, unless somebody merely wants it to end.
    pub fn explain(&self, failure: &anyhow::Error) {
        if !failure.is::<Interrupted>() {
            eprintln!("{}", self.log_tails());
        }
    }

    /// The last lines of every log: what explains a failure.
    #[must_use]
    pub fn log_tails(&self) -> String {
        let mut logs: Vec<_> = fs::read_dir(self.path().join("log"))
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        logs.sort();
        let mut text = String::new();
        for log in logs {
            let bytes = fs::read(&log).unwrap_or_default();
            let lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
            let name = log.file_name().unwrap_or_default().display();
            let _ = writeln!(text, "--- the end of {name}");
            for line in lines.iter().skip(lines.len().saturating_sub(TAIL)) {
                let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
            }
        }
        text
    }
}
