//! The private directory of a rig, and free ports of the loopback interface.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context as _, Result, bail};
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

    /// Prints the last lines of every log after a failure, except after SIGINT or SIGTERM.
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

/// A port that nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    free_pair()
}

/// A port that nobody listens on, and neither on the next one: a TPM's commands and its control
/// channel.
///
/// # Errors
/// When there is none.
pub fn free_pair() -> Result<u16> {
    for _ in 0..PAIRS {
        let port = next();
        if is_free(port) && is_free(port + 1) {
            return Ok(port);
        }
    }
    bail!("no two free ports between {FIRST} and {}", FIRST + 2 * PAIRS)
}

// Below the range from which Linux takes the ports of outgoing connections.
const FIRST: u16 = 17000;
const PAIRS: u16 = 7000;

/// Every pair once before any comes again, from a start that differs between processes.
fn next() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let taken = TAKEN.fetch_add(1, Ordering::Relaxed) % PAIRS;
    let start = std::process::id().wrapping_mul(97) % u32::from(PAIRS);
    let start = u16::try_from(start).unwrap_or_default();
    FIRST + 2 * ((start + taken) % PAIRS)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
