//! What the reader of logs needs for the structures of UEFI.

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
    /// Everything that is left.
    pub(super) fn remainder(&mut self) -> &'a [u8] {
        self.bytes(self.remaining()).unwrap_or_default()
    }

    /// As many bytes as a number in the data says, if there are so many.
    pub(super) fn counted(&mut self, count: u64) -> Option<&'a [u8]> {
        self.bytes(usize::try_from(count).ok()?)
    }
}
