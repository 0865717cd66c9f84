//! A log of the kernel that grows while it is read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// A log that is read in pieces, one after the other.
///
/// The kernel makes the bytes of such a file anew for each read, from the first entry on, unless a read begins where
/// the last one of the same open file ended. So the file stays open between pieces, what was read too much is kept,
/// and so is the last piece, which may be wanted again: else a long log would cost the square of its length.
pub(super) struct Growing {
    file: File,
    last: Piece,
    /// What was read behind it already.
    ahead: Vec<u8>,
}

/// A piece of a log.
#[derive(Clone)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    /// Whether the log went on behind it.
    pub(super) more: bool,
}

impl Piece {
    /// Where the next one begins.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX))
    }
}

impl Growing {
    /// Opens the log, to be read from `offset` on.
    pub(super) fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let last = Piece { offset, bytes: Vec::new(), more: false };
        Ok(Self { file: File::open(path)?, last, ahead: Vec::new() })
    }

    /// Whether the piece at `offset` is the next one, or the last one again.
    pub(super) fn is_near(&self, offset: u64) -> bool {
        [self.last.offset, self.last.end()].contains(&offset)
    }

    /// The piece at `offset`, of at most `limit` bytes.
    pub(super) fn piece(&mut self, offset: u64, limit: usize) -> io::Result<Piece> {
        // What is behind it is still there: the log only grows.
        if offset != self.last.offset || !self.last.more {
            self.last = self.read(offset, limit)?;
        }
        Ok(self.last.clone())
    }

    fn read(&mut self, offset: u64, limit: usize) -> io::Result<Piece> {
        let mut bytes = std::mem::take(&mut self.ahead);
        let mut filled = bytes.len();
        // One byte more shows whether there is more.
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
