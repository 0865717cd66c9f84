//! UEFI's GUIDs, texts and variables in event data. Bytes with an unexpected character are not decoded as text, so that
//! different measurements do not give the same text.

use std::fmt;

use crate::bytes::LogReader;

/// An EFI_GUID in UEFI's byte order: the first three fields are little-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid([u8; 16]);

impl Guid {
    /// EFI_GLOBAL_VARIABLE: `SecureBoot`, `PK`, `KEK`, `BootOrder`.
    pub(super) const GLOBAL_VARIABLE: Self =
        Self::new(0x8be4_df61, 0x93ca, 0x11d2, [0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c]);
    /// EFI_IMAGE_SECURITY_DATABASE_GUID: `db`, `dbx`, `dbt`, `dbr`.
    pub(super) const IMAGE_SECURITY_DATABASE: Self =
        Self::new(0xd719_b2cb, 0x3d3a, 0x4596, [0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f]);

    /// SMBIOS_TABLE_GUID and SMBIOS3_TABLE_GUID: tables of the UEFI system table.
    pub(super) const SMBIOS_TABLES: [Self; 2] = [
        Self::new(0xeb9d_2d31, 0x2d88, 0x11d3, [0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d]),
        Self::new(0xf2fd_1544, 0x9794, 0x4a2c, [0x99, 0x2e, 0xe5, 0xbb, 0xcf, 0x20, 0xe3, 0x94]),
    ];

    /// Builds a GUID from its fields, in the order of the text form.
    pub(super) const fn new(first: u32, second: u16, third: u16, rest: [u8; 8]) -> Self {
        let [a, b, c, d] = first.to_le_bytes();
        let [e, f] = second.to_le_bytes();
        let [g, h] = third.to_le_bytes();
        let [i, j, k, l, m, n, o, p] = rest;
        Self([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }

    /// Builds a GUID from its bytes in memory order.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes in memory order.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f_, g, h, i, j, rest @ ..] = self.0;
        let (first, second, third) =
            (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f_]), u16::from_le_bytes([g, h]));
        write!(f, "{first:08x}-{second:04x}-{third:04x}-{i:02x}{j:02x}-")?;
        rest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A UEFI variable at the time the firmware measured it (UEFI_VARIABLE_DATA).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable<'a> {
    /// The vendor of the variable.
    pub vendor: Guid,
    /// Its name.
    pub name: String,
    /// Its value.
    pub data: &'a [u8],
}

impl<'a> Variable<'a> {
    /// Reads the structure; `None` unless it takes up all of the data.
    pub(super) fn read(data: &'a [u8]) -> Option<Self> {
        Self::read_front(data).filter(|(_, len)| *len == data.len()).map(|(variable, _)| variable)
    }

    /// Reads the structure and returns its length; ignores the bytes after it.
    pub(super) fn read_front(data: &'a [u8]) -> Option<(Self, usize)> {
        let mut reader = LogReader::new(data);
        let vendor = reader.guid()?;
        let (name_units, data_len) = (reader.u64()?, reader.u64()?);
        let name = utf16(reader.counted(name_units.checked_mul(2)?)?)?;
        let data = reader.counted(data_len)?;
        Some((Self { vendor, name, data }, reader.offset()))
    }

    /// Returns the structure as the firmware hashes it.
    pub(in crate::eventlog) fn measured(vendor: Guid, name: &str, data: &[u8]) -> Vec<u8> {
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = |len: usize| u64::try_from(len).unwrap_or(u64::MAX).to_le_bytes();
        [&vendor.as_bytes()[..], &length(name.len() / 2), &length(data.len()), &name, data].concat()
    }

    pub(super) fn is(&self, vendor: Guid, name: &str) -> bool {
        self.vendor == vendor && self.name == name
    }
}

impl LogReader<'_> {
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn guid(&mut self) -> Option<Guid> {
        self.array().map(Guid::from_bytes)
    }
}

impl<'a> LogReader<'a> {
    /// Reads all remaining bytes.
    pub(super) fn remainder(&mut self) -> &'a [u8] {
        self.bytes(self.remaining()).unwrap_or_default()
    }

    /// Reads `count` bytes; `None` if there are fewer.
    pub(super) fn counted(&mut self, count: u64) -> Option<&'a [u8]> {
        self.bytes(usize::try_from(count).ok()?)
    }
}

/// Decodes UTF-8, with or without a trailing NUL. `None` if it is malformed or has control characters, except line
/// breaks and tabs, which GRUB's menu entries have.
pub(super) fn utf8(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes.strip_suffix(&[0]).unwrap_or(bytes)).ok()?;
    is_plain(text).then(|| text.to_owned())
}

/// Decodes little-endian UTF-16 under the same rules.
pub(super) fn utf16(bytes: &[u8]) -> Option<String> {
    let units = bytes.strip_suffix(&[0, 0]).filter(|rest| rest.len().is_multiple_of(2)).unwrap_or(bytes);
    if !units.len().is_multiple_of(2) {
        return None;
    }
    let units = units.chunks_exact(2).filter_map(|pair| <[u8; 2]>::try_from(pair).ok());
    let text: String = char::decode_utf16(units.map(u16::from_le_bytes)).collect::<Result<_, _>>().ok()?;
    is_plain(&text).then_some(text)
}

/// Decodes printable ASCII, in UTF-16 or in single bytes.
pub(super) fn ascii(bytes: &[u8]) -> Option<String> {
    let text = utf16(bytes).filter(|text| is_ascii(text)).or_else(|| utf8(bytes))?;
    is_ascii(&text).then_some(text)
}

/// Encodes a command line as boot loaders pass it to the kernel's stub and as that stub measures it: UTF-16 with a NUL.
pub(in crate::eventlog) fn load_options(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// Returns the text form of a GUID, which some firmware measures instead of a version text.
pub(super) fn guid_text(bytes: &[u8]) -> Option<String> {
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
    fn a_guid_is_displayed_in_uefis_text_form() {
        assert_eq!(Guid::GLOBAL_VARIABLE.to_string(), "8be4df61-93ca-11d2-aa0d-00e098032b8c");
        assert_eq!(Guid::GLOBAL_VARIABLE.as_bytes()[..4], [0x61, 0xdf, 0xe4, 0x8b]);
    }

    #[test]
    fn malformed_texts_and_control_characters_are_refused() {
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
    fn ascii_is_decoded_from_either_width() {
        assert_eq!(ascii(b"1\0.\x002\0\0\0").as_deref(), Some("1.2"));
        assert_eq!(ascii(b"1.2").as_deref(), Some("1.2"));
        assert_eq!(ascii(&[0xc9, 0x12, 0x33, 0x44]), None);
    }
}
