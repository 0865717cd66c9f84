//! SSH's binary encoding (RFC 4251, section 5): numbers are big-endian, a string follows its length.

/// The length limit of a name (of an algorithm, a namespace, an application). RFC 4251, section 6, requires 64;
/// applications are URLs and may be longer.
const MAX_NAME_LEN: usize = 128;

/// Reads from the front of untrusted bytes; returns `None` if they are cut off or malformed.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u32()?).ok()?;
        self.bytes(len)
    }

    /// Reads a string that is safe to show: short, printable ASCII.
    pub(crate) fn name(&mut self) -> Option<&'a str> {
        let bytes = self.string()?;
        let is_name = bytes.len() <= MAX_NAME_LEN && bytes.iter().all(u8::is_ascii_graphic);
        if is_name { str::from_utf8(bytes).ok() } else { None }
    }

    /// Reads a positive `mpint`; returns it without the zero byte that keeps it positive. Refuses other leading zeros.
    pub(crate) fn positive(&mut self) -> Option<&'a [u8]> {
        match self.string()? {
            [0, digits @ ..] => digits.first().is_some_and(|first| *first >= 0x80).then_some(digits),
            digits => digits.first().is_some_and(|first| *first < 0x80).then_some(digits),
        }
    }

    /// Returns `Some` if all bytes were read.
    pub(crate) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Returns the number in exactly `N` bytes; `None` if it needs more.
pub(crate) fn left_padded<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut padded = [0; N];
    let start = N.checked_sub(digits.len())?;
    padded.get_mut(start..)?.copy_from_slice(digits);
    Some(padded)
}

/// Appends `bytes` as a string.
pub(crate) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    // Cannot fail: everything written here was read with a limit far below 4 GiB.
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_end_reads_nothing() {
        assert_eq!(Reader::new(&[0, 0, 0, 2, 7]).string(), None);
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff]).string(), None);
        assert_eq!(Reader::new(&[0, 0, 1]).string(), None);
    }

    #[test]
    fn a_name_is_short_and_printable() {
        assert_eq!(Reader::new(b"\0\0\0\x03ssh").name(), Some("ssh"));
        assert_eq!(Reader::new(b"\0\0\0\x03s\x1b[").name(), None);
        let mut long = Vec::new();
        put_string(&mut long, &[b'a'; MAX_NAME_LEN + 1]);
        assert_eq!(Reader::new(&long).name(), None);
    }

    #[test]
    fn a_positive_number_has_one_form() {
        assert_eq!(Reader::new(&[0, 0, 0, 1, 0x7f]).positive(), Some(&[0x7f][..]));
        assert_eq!(Reader::new(&[0, 0, 0, 2, 0, 0x80]).positive(), Some(&[0x80][..]));
        // Negative, padded without need, zero.
        assert_eq!(Reader::new(&[0, 0, 0, 1, 0x80]).positive(), None);
        assert_eq!(Reader::new(&[0, 0, 0, 2, 0, 0x7f]).positive(), None);
        assert_eq!(Reader::new(&[0, 0, 0, 0]).positive(), None);
    }

    #[test]
    fn numbers_are_padded_on_the_left() {
        assert_eq!(left_padded::<3>(&[1, 2]), Some([0, 1, 2]));
        assert_eq!(left_padded::<1>(&[1, 2]), None);
    }
}
