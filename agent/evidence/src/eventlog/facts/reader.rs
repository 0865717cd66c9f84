//! Reads UEFI structures.

use super::guid::Guid;
use crate::little_endian::LogReader;

impl LogReader<'_> {
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn guid(&mut self) -> Option<Guid> {
        self.array().map(Guid::from_bytes)
    }
}

impl<'a> LogReader<'a> {
    /// Returns all unread bytes.
    pub(super) fn remainder(&mut self) -> &'a [u8] {
        self.bytes(self.remaining()).unwrap_or_default()
    }

    /// Returns the next `count` bytes, if there are so many.
    pub(super) fn counted(&mut self, count: u64) -> Option<&'a [u8]> {
        self.bytes(usize::try_from(count).ok()?)
    }
}
