use super::guid::Guid;
use super::text;
use crate::little_endian::LogReader;

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
        let name = text::utf16(reader.counted(name_units.checked_mul(2)?)?)?;
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
