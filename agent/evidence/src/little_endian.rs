//! The logs of firmware and kernel are little-endian, other than everything of the TPM.

/// Reads fields off the front of untrusted bytes; `None` when they end.
#[derive(Debug, Clone)]
pub(crate) struct LogReader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> LogReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    /// How many bytes were read so far.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// How many are left.
    #[cfg(feature = "verifier")]
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(N);
        Some(*head)
    }

    pub(crate) fn bytes(&mut self, size: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(size);
        Some(head)
    }

    /// A 32-bit size, then that many bytes.
    pub(crate) fn sized(&mut self) -> Option<&'a [u8]> {
        let size = usize::try_from(self.u32()?).ok()?;
        self.bytes(size)
    }
}
