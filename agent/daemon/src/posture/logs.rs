//! The logs of a measured boot. On most systems only root may read them. A report leaves out a log that the daemon cannot read, and
//! the operator sees that it is missing.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pawl_evidence::measure_log::MeasureLog as SystemdLog;
use pawl_proto::message::{BootLog, ImaLog, MeasureLog};
use pawl_proto::{Blob, Digest, PcrBank, limits};

use super::growing::Growing;
use super::measure_log::MeasureFile;

/// The paths of the logs, and what was read before. Every function reads files and can be slow: the kernel walks through its whole
/// list of measurements up to the requested offset.
#[derive(Clone)]
pub(crate) struct Logs(Arc<Inner>);

struct Inner {
    paths: pawl_config::Logs,
    boot: PathBuf,
    /// The digest of the boot log, which does not change during a boot; none if the log cannot be read. Set at the first report.
    boot_digest: OnceLock<Option<Digest>>,
    measure: MeasureFile,
    /// The IMA log, open until its end has been read.
    ima: Mutex<Option<Growing>>,
}

impl Logs {
    /// Returns the logs at their configured paths. The path of the firmware's log depends on the number of the TPM.
    pub(crate) fn new(paths: pawl_config::Logs, tpm: Option<u32>) -> Self {
        let boot = paths.boot_of(tpm);
        let measure = MeasureFile::new(paths.measure.clone());
        Self(Arc::new(Inner { paths, boot, boot_digest: OnceLock::new(), measure, ima: Mutex::new(None) }))
    }

    /// Returns the digest of the firmware's log and, for a full report, its bytes; none if it cannot be read.
    pub(crate) fn boot(&self, whole: bool) -> Option<BootLog> {
        let known = self.0.boot_digest.get_or_init(|| self.read_boot().map(|log| Digest::of(&log)));
        let digest = (*known)?;
        let bytes = if whole { Blob::new(self.read_boot()?).ok() } else { None };
        Some(BootLog { digest, bytes })
    }

    /// Returns systemd's measurement log from `offset` on: at most what fits into one report. It may end inside a record.
    pub(crate) fn measure(&self, offset: u64) -> Option<MeasureLog> {
        let log = &self.0.measure;
        log.piece(offset).map_err(|error| absent(log.path(), &error)).ok()
    }

    /// Returns why systemd's measurement log cannot be opened; none if it can be opened or does not exist.
    pub(crate) fn measure_problem(&self) -> Option<String> {
        let error = self.0.measure.check().err().filter(|error| error.kind() != io::ErrorKind::NotFound);
        error.map(|error| error.to_string())
    }

    /// Returns the handles of the NvPCRs that systemd's measurement log names; none of them if the log cannot be read.
    pub(crate) fn named_nvpcrs(&self) -> Vec<u32> {
        let log = self.export_measure().ok().and_then(|log| SystemdLog::parse(&log).ok());
        log.map(|log| log.nvpcr_names().into_keys().collect()).unwrap_or_default()
    }

    /// Returns the IMA log from `offset` on: at most what fits into one report. It may end inside an entry. `bank` is the bank that
    /// the report quotes.
    pub(crate) fn ima(&self, bank: PcrBank, offset: u64) -> Option<ImaLog> {
        self.read_ima(bank, offset).map_err(|error| absent(&self.0.paths.ima, &error)).ok()
    }

    fn read_ima(&self, bank: PcrBank, offset: u64) -> io::Result<ImaLog> {
        let mut open = self.0.ima.lock().unwrap_or_else(PoisonError::into_inner);
        let mut log = match open.take().filter(|log| log.is_near(offset)) {
            Some(log) => log,
            None => Growing::open(&of_bank(&self.0.paths.ima, bank), offset)?,
        };
        let piece = log.piece(offset, limits::IMA_PIECE)?;
        *open = Some(log).filter(|_| piece.more);
        let size = piece.end().saturating_add(piece.more.into());
        Ok(ImaLog { offset, size, bytes: Blob::new(piece.bytes).map_err(io::Error::other)? })
    }

    /// Returns the firmware's log, for an export.
    ///
    /// # Errors
    /// If it cannot be read or is too long.
    pub(crate) fn export_boot(&self) -> io::Result<Vec<u8>> {
        read_whole(&self.0.boot, limits::BOOT_LOG)
    }

    /// Returns systemd's measurement log, for an export.
    ///
    /// # Errors
    /// If it cannot be read or is too long.
    pub(crate) fn export_measure(&self) -> io::Result<Vec<u8>> {
        self.0.measure.whole()
    }

    /// Returns the IMA log in ASCII, for an export.
    ///
    /// # Errors
    /// If it cannot be read or is too long.
    pub(crate) fn export_ima(&self) -> io::Result<Vec<u8>> {
        read_whole(&self.0.paths.ima_ascii, EXPORT)
    }

    fn read_boot(&self) -> Option<Vec<u8>> {
        self.export_boot().map_err(|error| absent(&self.0.boot, &error)).ok()
    }
}

/// Limit of an exported IMA log in bytes: an answer needs several times that much memory.
const EXPORT: usize = 2 * 1024 * 1024;

/// Returns the path of the IMA log for this bank. Linux 6.10 and later have a log for each bank, with digests of that bank, and the
/// plain name is the one of SHA-1. Returns `path` itself if the bank has no log.
fn of_bank(path: &Path, bank: PcrBank) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("_{bank}"));
    let of_bank = PathBuf::from(name);
    if of_bank.exists() { of_bank } else { path.to_owned() }
}

fn absent(path: &Path, error: &io::Error) {
    tracing::debug!(path = %path.display(), %error, "cannot read a log; reporting without it");
}

fn read_whole(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    // The kernel reports size 0 for these files: read to the end, within the limit.
    let mut contents = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX);
    File::open(path)?.take(bound.saturating_add(1)).read_to_end(&mut contents)?;
    if contents.len() > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it has more than {limit} bytes; copy it from {}", path.display()),
        ));
    }
    Ok(contents)
}

#[cfg(test)]
mod tests;
