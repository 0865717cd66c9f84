//! A kernel log that grows while the daemon reads it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// A log that the daemon reads in pieces, one after the other.
///
/// For each read the kernel generates such a file from its first entry on, unless the read begins where the last one of the same
/// open file ended. Without state between reads, a long log would cost the square of its length. So this type keeps the file open,
/// and keeps the last piece (a report may need it again) and the bytes that it read beyond that piece.
pub(super) struct Growing {
    file: File,
    last: Piece,
    /// Bytes that were read beyond the last piece.
    ahead: Vec<u8>,
}

/// A piece of a log.
#[derive(Clone)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    /// Whether the log had more bytes after this piece.
    pub(super) more: bool,
}

impl Piece {
    /// Returns the offset of the next piece.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX))
    }
}

impl Growing {
    /// Opens the log for reading from `offset` on.
    pub(super) fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let last = Piece { offset, bytes: Vec::new(), more: false };
        Ok(Self { file: File::open(path)?, last, ahead: Vec::new() })
    }

    /// Returns whether the piece at `offset` is the last one or the one after it.
    pub(super) fn is_near(&self, offset: u64) -> bool {
        [self.last.offset, self.last.end()].contains(&offset)
    }

    /// Returns the piece at `offset`, of at most `limit` bytes.
    pub(super) fn piece(&mut self, offset: u64, limit: usize) -> io::Result<Piece> {
        // The last piece is still correct if it was full: the log only grows.
        if offset != self.last.offset || !self.last.more {
            self.last = self.read(offset, limit)?;
        }
        Ok(self.last.clone())
    }

    fn read(&mut self, offset: u64, limit: usize) -> io::Result<Piece> {
        let mut bytes = std::mem::take(&mut self.ahead);
        let mut filled = bytes.len();
        // Read one byte more, to see whether the log continues.
        bytes.resize(limit + 1, 0);
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            let at = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            let read = self.file.read_at(room, at)?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        bytes.truncate(filled);
        self.ahead = if filled > limit { bytes.split_off(limit) } else { Vec::new() };
        Ok(Piece { offset, bytes, more: !self.ahead.is_empty() })
    }
}
