//! What Linux tells of a process (proc(5)).

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// One thread.
pub(crate) struct Thread {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Voluntary context switches since it started.
    pub(crate) switches: u64,
}

/// The threads of a process, by their ids.
pub(crate) fn threads(pid: u32) -> Result<Vec<Thread>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task")).context("list the daemon's threads")? {
        let entry = entry?;
        let status = Status::read(&entry.path().join("status"))?;
        threads.push(Thread {
            id: entry.file_name().display().to_string(),
            name: status.text("Name")?.to_owned(),
            switches: status.number("voluntary_ctxt_switches")?,
        });
    }
    threads.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(threads)
}

/// The memory of a process, in bytes.
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) anonymous: u64,
    pub(crate) files: u64,
    /// Pages that it shares count in part.
    pub(crate) proportional: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let process = Path::new("/proc").join(pid.to_string());
        let status = Status::read(&process.join("status"))?;
        let rollup = Status::read(&process.join("smaps_rollup"))?;
        // What it calls kB has 1024 bytes.
        let bytes = |status: &Status, key| status.number(key).map(|kilobytes| kilobytes * 1024);
        Ok(Self {
            resident: bytes(&status, "VmRSS")?,
            anonymous: bytes(&status, "RssAnon")?,
            files: bytes(&status, "RssFile")?,
            proportional: bytes(&rollup, "Pss")?,
        })
    }
}

/// Returns how many bytes a process has had written to disks: whole pages, counted when they are written to for the
/// first time after they were last on the disk. A file system in memory counts none.
pub(crate) fn written(pid: u32) -> Result<u64> {
    Status::read(&Path::new("/proc").join(pid.to_string()).join("io"))?.number("write_bytes")
}

/// A file of lines `Key: value`.
struct Status(String);

impl Status {
    fn read(path: &Path) -> Result<Self> {
        fs::read_to_string(path).map(Self).with_context(|| format!("read {}", path.display()))
    }

    fn text(&self, key: &str) -> Result<&str> {
        let mut pairs = self.0.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = pairs.find(|(name, _)| *name == key).with_context(|| format!("no {key}"))?;
        Ok(value.trim())
    }

    fn number(&self, key: &str) -> Result<u64> {
        let value = self.text(key)?;
        let digits = value.strip_suffix("kB").unwrap_or(value).trim();
        digits.parse().with_context(|| format!("{key} is {value}"))
    }
}
