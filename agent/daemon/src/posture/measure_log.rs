//! systemd's log of measurements by user space (`tpm2-measure.log`).

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pawl_proto::message::MeasureLog;
use pawl_proto::{Blob, limits};

use crate::systemd;

/// systemd sets the sticky bit of the file before it extends a PCR, and clears it once the record is appended.
const STICKY: u32 = 0o1000;
/// How long to wait for an unfinished record. After a crash of systemd a record can stay unfinished.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);

/// The log.
///
/// Only root may read it. systemd sets mode 0600 with each record, which removes the rights of any group or access list. So systemd
/// opens the file for the daemon (`OpenFile=`). systemd appends to the file and never replaces it: the descriptor reads later
/// records, too.
pub(super) struct MeasureFile {
    path: PathBuf,
    passed: Option<File>,
}

impl MeasureFile {
    /// Returns the log that systemd passed to this process, or the one at `path` if systemd passed none.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, passed: systemd::passed_file(systemd::MEASURE_LOG).map(File::from) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the log from `offset` on: at most what fits into one report. The log has the record of every measurement in PCR
    /// values that were read before this call.
    ///
    /// # Errors
    /// If there is no log, it cannot be read, or a record stays unfinished.
    pub(super) fn piece(&self, offset: u64) -> io::Result<MeasureLog> {
        let file = self.open()?;
        let size = finished(&file)?.max(offset);
        let wanted = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; wanted.min(limits::MEASURE_PIECE)];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(MeasureLog { offset, size, bytes: Blob::new(bytes).map_err(io::Error::other)? })
    }

    /// Returns the whole log, for an export.
    ///
    /// # Errors
    /// As [`Self::piece`], and if it is too long.
    pub(super) fn whole(&self) -> io::Result<Vec<u8>> {
        let file = self.open()?;
        let size = usize::try_from(finished(&file)?).unwrap_or(usize::MAX);
        if size > limits::MEASURE_LOG {
            let text = format!(
                "it has more than {} bytes; copy it from {}",
                limits::MEASURE_LOG,
                self.path.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Checks that the log can be opened.
    ///
    /// # Errors
    /// As open(2).
    pub(super) fn check(&self) -> io::Result<()> {
        self.open().map(drop)
    }

    fn open(&self) -> io::Result<File> {
        match &self.passed {
            Some(file) => file.try_clone(),
            None => File::open(&self.path),
        }
    }
}

/// Waits until no record is being appended. Returns the length of the log.
fn finished(file: &File) -> io::Result<u64> {
    let begun = Instant::now();
    loop {
        let found = file.metadata()?;
        if found.mode() & STICKY == 0 {
            return Ok(found.len());
        }
        if begun.elapsed() > PATIENCE {
            let text = "systemd has not finished a record: the file's sticky bit stays set";
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions, Permissions};
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn log(contents: &[u8]) -> (tempfile::TempDir, MeasureFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tpm2-measure.log");
        fs::write(&path, contents).unwrap();
        (folder, MeasureFile { path, passed: None })
    }

    #[test]
    fn an_open_descriptor_shows_records_that_are_appended_later() {
        let (folder, log) = log(b"first");
        let passed =
            MeasureFile { path: "/nonexistent".into(), passed: Some(File::open(log.path()).unwrap()) };
        assert_eq!(passed.piece(0).unwrap().bytes.as_bytes(), b"first");
        let mut file = OpenOptions::new().append(true).open(log.path()).unwrap();
        file.write_all(b", second").unwrap();
        fs::set_permissions(log.path(), Permissions::from_mode(0o600)).unwrap();
        let piece = passed.piece(5).unwrap();
        assert_eq!((piece.offset, piece.size, piece.bytes.as_bytes()), (5, 13, &b", second"[..]));
        assert_eq!(passed.piece(13).unwrap().bytes.as_bytes(), b"");
        assert_eq!(passed.whole().unwrap(), b"first, second");
        drop(folder);
    }

    #[test]
    fn a_log_is_read_only_after_its_sticky_bit_was_cleared() {
        let (_folder, log) = log(b"half");
        let sticky = |set: bool| {
            let mode = if set { 0o1600 } else { 0o600 };
            fs::set_permissions(log.path(), Permissions::from_mode(mode)).unwrap();
        };
        sticky(true);
        assert_eq!(log.piece(0).unwrap_err().kind(), io::ErrorKind::TimedOut);
        std::thread::scope(|scope| {
            let read = scope.spawn(|| log.piece(0));
            OpenOptions::new().append(true).open(log.path()).unwrap().write_all(b" and half").unwrap();
            sticky(false);
            assert_eq!(read.join().unwrap().unwrap().bytes.as_bytes(), b"half and half");
        });
    }

    #[test]
    fn a_long_log_is_read_in_pieces() {
        let (_folder, log) = log(&vec![7; limits::MEASURE_PIECE + 10]);
        let first = log.piece(0).unwrap();
        let length = u64::try_from(first.bytes.as_bytes().len()).unwrap();
        assert_eq!((first.bytes.as_bytes().len(), first.size), (limits::MEASURE_PIECE, length + 10));
        assert_eq!(log.piece(length).unwrap().bytes.as_bytes(), [7; 10]);
    }
}
