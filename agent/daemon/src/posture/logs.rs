//! The logs of a measured boot. The kernel makes both readable for root alone on most
//! systems; where one cannot be read the report goes without it, and says so to the operator by
//! its absence.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pawl_evidence::measure_log::MeasureLog as SystemdLog;
use pawl_proto::message::{BootLog, ImaLog, MeasureLog};
use pawl_proto::{Blob, Digest, PcrBank, limits};

use super::growing::Growing;
use super::measure_log::MeasureFile;

/// Where the logs are, and what is known of them. Every function reads files, and may take a while: the kernel goes
/// through its whole list of measurements before it comes to the place that is asked for.
#[derive(Clone)]
pub(crate) struct Logs(Arc<Inner>);

struct Inner {
    paths: pawl_config::Logs,
    boot: PathBuf,
    /// The boot log does not change while this process lives. The outer option is "read yet?".
    boot_digest: OnceLock<Option<Digest>>,
    measure: MeasureFile,
    /// The kernel's log, open while there is more of it to report.
    ima: Mutex<Option<Growing>>,
}

impl Logs {
    /// The logs at their configured places. The kernel keeps the firmware's log under the number of the TPM.
    pub(crate) fn new(paths: pawl_config::Logs, tpm: Option<u32>) -> Self {
        let boot = paths.boot_of(tpm);
        let measure = MeasureFile::new(paths.measure.clone());
        Self(Arc::new(Inner { paths, boot, boot_digest: OnceLock::new(), measure, ima: Mutex::new(None) }))
    }

    /// The firmware's log: its digest, and in a whole report its bytes.
    pub(crate) fn boot(&self, whole: bool) -> Option<BootLog> {
        let known = self.0.boot_digest.get_or_init(|| self.read_boot().map(|log| Digest::of(&log)));
        let digest = (*known)?;
        let bytes = if whole { Blob::new(self.read_boot()?).ok() } else { None };
        Some(BootLog { digest, bytes })
    }

    /// systemd's measurement log from `offset` on: as much as one report carries, which may end inside a record.
    pub(crate) fn measure(&self, offset: u64) -> Option<MeasureLog> {
        let log = &self.0.measure;
        log.piece(offset).map_err(|error| absent(log.path(), &error)).ok()
    }

    /// Why systemd's measurement log cannot be opened; `None` where it can, and where there is none.
    pub(crate) fn measure_problem(&self) -> Option<String> {
        let error = self.0.measure.check().err().filter(|error| error.kind() != io::ErrorKind::NotFound);
        error.map(|error| error.to_string())
    }

    /// The handles of the NvPCRs that systemd's measurement log names. A log that cannot be read names none.
    pub(crate) fn named_nvpcrs(&self) -> Vec<u32> {
        let log = self.export_measure().ok().and_then(|log| SystemdLog::parse(&log).ok());
        log.map(|log| log.nvpcr_names().into_keys().collect()).unwrap_or_default()
    }

    /// The kernel's log from `offset` on: as much as one report carries, which may end inside an entry. `bank` is the one
    /// that the report quotes.
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

    /// The firmware's log, for an export.
    ///
    /// # Errors
    /// Why it is not there.
    pub(crate) fn export_boot(&self) -> io::Result<Vec<u8>> {
        read_whole(&self.0.boot, limits::BOOT_LOG)
    }

    /// systemd's measurement log, for an export.
    ///
    /// # Errors
    /// Why it is not there.
    pub(crate) fn export_measure(&self) -> io::Result<Vec<u8>> {
        self.0.measure.whole()
    }

    /// The kernel's log in ASCII, for an export.
    ///
    /// # Errors
    /// Why it is not there.
    pub(crate) fn export_ima(&self) -> io::Result<Vec<u8>> {
        read_whole(&self.0.paths.ima_ascii, EXPORT)
    }

    fn read_boot(&self) -> Option<Vec<u8>> {
        self.export_boot().map_err(|error| absent(&self.0.boot, &error)).ok()
    }
}

/// The largest IMA log that is exported, bytes: an answer holds it in memory more than once, in hexadecimal.
const EXPORT: usize = 2 * 1024 * 1024;

/// Since Linux 6.10 there is a list for each bank, and the plain name leads to that of SHA-1: the one of the quoted bank,
/// whose digests are as long as the bank's, where there is one.
fn of_bank(path: &Path, bank: PcrBank) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("_{bank}"));
    let of_bank = PathBuf::from(name);
    if of_bank.exists() { of_bank } else { path.to_owned() }
}

fn absent(path: &Path, error: &io::Error) {
    tracing::debug!(path = %path.display(), %error, "a log is not reported");
}

fn read_whole(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    // The kernel says that these files have no size: read until they end, within the limit.
    let mut contents = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX);
    File::open(path)?.take(bound.saturating_add(1)).read_to_end(&mut contents)?;
    if contents.len() > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it has more than {limit} bytes; take it from {} itself", path.display()),
        ));
    }
    Ok(contents)
}

#[cfg(test)]
mod tests;
