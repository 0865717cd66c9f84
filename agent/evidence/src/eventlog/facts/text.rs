//! Decodes texts in event data, strictly: a text with an unexpected byte is not accepted as text, so that no two
//! measurements give the same text.

use super::guid::Guid;

/// UTF-8 without control characters other than line breaks and tabs, which GRUB's menu entries have; with or
/// without a trailing NUL.
pub(super) fn utf8(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes.strip_suffix(&[0]).unwrap_or(bytes)).ok()?;
    is_plain(text).then(|| text.to_owned())
}

/// UTF-16, little-endian, under the same rules.
pub(super) fn utf16(bytes: &[u8]) -> Option<String> {
    let units = bytes.strip_suffix(&[0, 0]).filter(|rest| rest.len().is_multiple_of(2)).unwrap_or(bytes);
    if !units.len().is_multiple_of(2) {
        return None;
    }
    let units = units.chunks_exact(2).filter_map(|pair| <[u8; 2]>::try_from(pair).ok());
    let text: String = char::decode_utf16(units.map(u16::from_le_bytes)).collect::<Result<_, _>>().ok()?;
    is_plain(&text).then_some(text)
}

/// Printable ASCII, in UTF-16 or in single bytes.
pub(super) fn ascii(bytes: &[u8]) -> Option<String> {
    let text = utf16(bytes).filter(|text| is_ascii(text)).or_else(|| utf8(bytes))?;
    is_ascii(&text).then_some(text)
}

/// Encodes a command line as stubs pass it on and as the kernel's stub measures it: UTF-16 with a NUL.
pub(in crate::eventlog) fn load_options(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// Returns a GUID, which some firmware has instead of a version text.
pub(super) fn guid(bytes: &[u8]) -> Option<String> {
    bytes.try_into().ok().map(|bytes| Guid::from_bytes(bytes).to_string())
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
}

fn is_ascii(text: &str) -> bool {
    text.chars().all(|c| matches!(c, ' '..='~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_none() {
        assert_eq!(utf8(b"grub\0").as_deref(), Some("grub"));
        assert_eq!(utf8(b"gr\0ub"), None);
        assert_eq!(utf8(b"gr\x1bub"), None);
        assert_eq!(utf8(b"gr\xffub"), None);
        assert_eq!(utf16(b"a\0b\0\0\0").as_deref(), Some("ab"));
        assert_eq!(utf16(b"a\0b\0").as_deref(), Some("ab"));
        assert_eq!(utf16(b"a\0b"), None);
        assert_eq!(utf16(b"\x00\xd8a\0"), None);
        assert_eq!(utf16(b"\0\0").as_deref(), Some(""));
    }

    #[test]
    fn ascii_comes_in_either_width() {
        assert_eq!(ascii(b"1\0.\x002\0\0\0").as_deref(), Some("1.2"));
        assert_eq!(ascii(b"1.2").as_deref(), Some("1.2"));
        assert_eq!(ascii(&[0xc9, 0x12, 0x33, 0x44]), None);
    }
}
