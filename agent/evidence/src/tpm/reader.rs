use thiserror::Error;

/// Why bytes are not the TPM structure that they were taken for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The bytes end inside a field.
    #[error("{field} ends early: {missing} bytes are missing at offset {offset}")]
    Truncated {
        /// The field that was being read.
        field: &'static str,
        /// Where the field begins.
        offset: usize,
        /// How many bytes it lacks.
        missing: usize,
    },
    /// Bytes follow the end of the structure.
    #[error("{structure} is followed by {extra} bytes that do not belong to it")]
    Trailing {
        /// The structure that was read.
        structure: &'static str,
        /// How many bytes are left over.
        extra: usize,
    },
    /// A size field asks for more than this field can hold.
    #[error("{field} of {size} bytes is longer than the {limit} that are allowed")]
    TooLong {
        /// The field that was being read.
        field: &'static str,
        /// The size that was declared.
        size: usize,
        /// The size that is allowed.
        limit: usize,
    },
    /// A value that the structure cannot have, or that Pawl has no use for.
    #[error("{field} has the unsupported value {value:#x}")]
    Unsupported {
        /// The field that was being read.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

/// Reads big-endian fields off the front of untrusted bytes.
///
/// It borrows, so nothing is allocated for a size that is only declared.
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

    /// How many bytes were read so far.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// [`ParseError::Truncated`], like every other reading function.
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
    /// [`ParseError::TooLong`] when the size is above `limit`, [`ParseError::Truncated`].
    pub fn sized(&mut self, limit: usize, field: &'static str) -> Result<&'a [u8], ParseError> {
        let size = usize::from(self.u16(field)?);
        if size > limit {
            return Err(ParseError::TooLong { field, size, limit });
        }
        self.bytes(size, field)
    }

    /// Ends the reading of a structure.
    ///
    /// # Errors
    /// [`ParseError::Trailing`] when bytes are left.
    pub fn finish(self, structure: &'static str) -> Result<(), ParseError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(ParseError::Trailing { structure, extra }),
        }
    }

    fn truncated(&self, field: &'static str, wanted: usize) -> ParseError {
        let missing = wanted.saturating_sub(self.rest.len());
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
