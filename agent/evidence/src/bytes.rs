//! Reads untrusted bytes that are not a structure of the TPM: the little-endian logs of firmware and kernel, and
//! hexadecimal.

/// Reads fields from the front of untrusted bytes; returns `None` at the end.
#[derive(Debug, Clone)]
pub(crate) struct LogReader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> LogReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    /// Returns the number of bytes read so far.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the number of unread bytes.
    #[cfg(feature = "verifier")]
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Returns the unread bytes.
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

    /// Reads a 32-bit size, then that many bytes.
    pub(crate) fn sized(&mut self) -> Option<&'a [u8]> {
        let size = usize::try_from(self.u32()?).ok()?;
        self.bytes(size)
    }
}

/// Decodes lower-case hexadecimal, the form of the kernel and of messages; `None` if the text has another form. Refuses
/// capitals, which the `hex` crate accepts, so that equal bytes are equal texts.
pub(crate) fn read_lower_hex(text: &[u8]) -> Option<Vec<u8>> {
    if text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    hex::decode(text).ok()
}
