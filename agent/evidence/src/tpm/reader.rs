use thiserror::Error;

/// Why bytes are not the expected TPM structure.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The bytes end inside a field.
    #[error("{field} ends early: {missing} bytes are missing at offset {offset}")]
    Truncated {
        /// The field that was read.
        field: &'static str,
        /// The start of the field.
        offset: usize,
        /// The number of missing bytes.
        missing: usize,
    },
    /// Bytes follow the end of the structure.
    #[error("{structure} is followed by {extra} bytes that do not belong to it")]
    Trailing {
        /// The structure that was read.
        structure: &'static str,
        /// The number of bytes left over.
        extra: usize,
    },
    /// A size field exceeds the limit of this field.
    #[error("{field} of {size} bytes is longer than the {limit} that are allowed")]
    TooLong {
        /// The field that was read.
        field: &'static str,
        /// The declared size.
        size: usize,
        /// The allowed size.
        limit: usize,
    },
    /// A field has a value that is invalid or not supported.
    #[error("{field} has the unsupported value {value:#x}")]
    Unsupported {
        /// The field that was read.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

/// Reads big-endian fields from the front of untrusted bytes.
///
/// It borrows, so a declared size allocates nothing.
#[derive(Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    /// Returns the number of bytes read so far.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the number of unread bytes.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// [`ParseError::Truncated`], as all reading functions.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, ParseError> {
        self.array::<1>(field).map(u8::from_be_bytes)
    }

    /// Reads a 16-bit number.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn u16(&mut self, field: &'static str) -> Result<u16, ParseError> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// Reads a 32-bit number.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn u32(&mut self, field: &'static str) -> Result<u32, ParseError> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// Reads a 64-bit number.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn u64(&mut self, field: &'static str) -> Result<u64, ParseError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// Reads exactly `N` bytes.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ParseError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.truncated(field, N))?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(N);
        Ok(*head)
    }

    /// Reads exactly `size` bytes.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn bytes(&mut self, size: usize, field: &'static str) -> Result<&'a [u8], ParseError> {
        let (head, rest) = self.rest.split_at_checked(size).ok_or_else(|| self.truncated(field, size))?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(size);
        Ok(head)
    }

    /// Reads a TPM2B: a 16-bit size, then that many bytes.
    ///
    /// # Errors
    /// [`ParseError::TooLong`] if the size is above `limit`; [`ParseError::Truncated`].
    pub fn sized(&mut self, limit: usize, field: &'static str) -> Result<&'a [u8], ParseError> {
        let size = usize::from(self.u16(field)?);
        if size > limit {
            return Err(ParseError::TooLong { field, size, limit });
        }
        self.bytes(size, field)
    }

    /// Ends a structure.
    ///
    /// # Errors
    /// [`ParseError::Trailing`] if bytes are left.
    pub fn finish(self, structure: &'static str) -> Result<(), ParseError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(ParseError::Trailing { structure, extra }),
        }
    }

    fn truncated(&self, field: &'static str, size: usize) -> ParseError {
        let missing = size.saturating_sub(self.rest.len());
        ParseError::Truncated { field, offset: self.offset, missing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_size_beyond_the_end_is_an_error_and_consumes_only_the_size() {
        let mut reader = Reader::new(&[0x00, 0x05, 1, 2]);
        assert_eq!(
            reader.sized(64, "nonce"),
            Err(ParseError::Truncated { field: "nonce", offset: 2, missing: 3 })
        );
    }

    #[test]
    fn a_declared_size_above_the_limit_is_named() {
        let mut reader = Reader::new(&[0xff, 0xff, 0]);
        assert_eq!(
            reader.sized(64, "nonce"),
            Err(ParseError::TooLong { field: "nonce", size: 65535, limit: 64 })
        );
    }

    #[test]
    fn leftover_bytes_are_refused() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u16("size"), Ok(0x0102));
        assert_eq!(reader.finish("nonce"), Err(ParseError::Trailing { structure: "nonce", extra: 1 }));
    }
}
