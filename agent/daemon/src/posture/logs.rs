//! The two logs of a measured boot. The kernel makes both readable for root alone on most
//! systems; where one cannot be read the report goes without it, and says so to the operator by
//! its absence.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use pawl_evidence::ima::BinaryLog;
use pawl_proto::message::{BootLog, ImaLog};
use pawl_proto::{Blob, Digest, limits};

/// Where the logs are, and what is known of them.
pub(crate) struct Logs {
    paths: pawl_config::Logs,
    /// The boot log does not change while this process lives. The outer option is "read yet?".
    boot_digest: OnceLock<Option<Digest>>,
}

impl Logs {
    /// The logs at their configured places.
    pub(crate) fn new(paths: pawl_config::Logs) -> Self {
        Self { paths, boot_digest: OnceLock::new() }
    }

    /// The firmware's log: its digest, and in a whole report its bytes.
    pub(crate) fn boot(&self, whole: bool) -> Option<BootLog> {
        let digest = (*self.boot_digest.get_or_init(|| self.read_boot().map(|log| Digest::of(&log))))?;
        let bytes = if whole { Blob::new(self.read_boot()?).ok() } else { None };
        Some(BootLog { digest, bytes })
    }

    /// The kernel's log from `offset` on: as many whole entries as one report carries.
    pub(crate) fn ima(&self, offset: u64) -> Option<ImaLog> {
        let mut piece = read_piece(&self.paths.ima, offset, limits::IMA_PIECE + 1)
            .map_err(|error| absent(&self.paths.ima, &error))
            .ok()?;
        let read = piece.len();
        piece.truncate(limits::IMA_PIECE);
        let entries = BinaryLog::new(&piece).map_while(Result::ok).last().map_or(0, |entry| entry.end);
        piece.truncate(entries);
        let size = offset.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Some(ImaLog { offset, size, bytes: Blob::new(piece).ok()? })
    }

    /// The firmware's log, for an export.
    ///
    /// # Errors
    /// Why it is not there.
    pub(crate) fn export_boot(&self) -> io::Result<Vec<u8>> {
        read_whole(&self.paths.boot, limits::BOOT_LOG)
    }

    /// The kernel's log in ASCII, for an export.
    ///
    /// # Errors
    /// Why it is not there.
    pub(crate) fn export_ima(&self) -> io::Result<Vec<u8>> {
        read_whole(&self.paths.ima_ascii, EXPORT)
    }

    fn read_boot(&self) -> Option<Vec<u8>> {
        self.export_boot().map_err(|error| absent(&self.paths.boot, &error)).ok()
    }
}

/// The largest IMA log that is exported at once, bytes.
const EXPORT: usize = 16 * 1024 * 1024;

fn absent(path: &Path, error: &io::Error) {
    tracing::debug!(path = %path.display(), %error, "a log is not reported");
}

fn read_whole(path: &PathBuf, limit: usize) -> io::Result<Vec<u8>> {
    // The kernel says that these files have no size: read until they end, within the limit.
    let mut contents = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX);
    File::open(path)?.take(bound.saturating_add(1)).read_to_end(&mut contents)?;
    if contents.len() > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the log has more than {limit} bytes"),
        ));
    }
    Ok(contents)
}

fn read_piece(path: &Path, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut piece = vec![0; limit];
    let mut filled = 0;
    while let Some(room) = piece.get_mut(filled..).filter(|room| !room.is_empty()) {
        let read = file.read_at(room, offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX)))?;
        if read == 0 {
            break;
        }
        filled += read;
    }
    piece.truncate(filled);
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRIES: &[u8] =
        include_bytes!("../../../../tests/fixtures/x86-good/ima_binary_runtime_measurements");

    fn logs(ima: &[u8]) -> (tempfile::TempDir, Logs) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("ima"), ima).unwrap();
        let paths = pawl_config::Logs { boot: path("boot"), ima: path("ima"), ima_ascii: path("ascii") };
        (folder, Logs::new(paths))
    }

    #[test]
    fn pieces_hold_whole_entries_and_add_up_to_the_log() {
        let (_folder, logs) = logs(ENTRIES);
        let (mut offset, mut joined) = (0, Vec::new());
        loop {
            let piece = logs.ima(offset).unwrap();
            assert!(BinaryLog::new(piece.bytes.as_bytes()).all(|entry| entry.is_ok()));
            if piece.bytes.as_bytes().is_empty() {
                break;
            }
            joined.extend_from_slice(piece.bytes.as_bytes());
            offset += u64::try_from(piece.bytes.as_bytes().len()).unwrap();
        }
        assert_eq!(joined, ENTRIES);
    }

    #[test]
    fn a_log_cut_inside_an_entry_is_sent_up_to_the_entry_before() {
        let cut = &ENTRIES[..ENTRIES.len() - 3];
        let (_folder, logs) = logs(cut);
        let piece = logs.ima(0).unwrap();
        assert!(piece.bytes.as_bytes().len() < cut.len().min(limits::IMA_PIECE + 1));
        assert!(BinaryLog::new(piece.bytes.as_bytes()).all(|entry| entry.is_ok()));
    }

    #[test]
    fn absent_logs_are_no_error() {
        let (_folder, logs) = logs(b"");
        assert!(logs.boot(true).is_none());
        assert_eq!(logs.ima(0).unwrap().bytes.as_bytes(), b"");
    }
}
