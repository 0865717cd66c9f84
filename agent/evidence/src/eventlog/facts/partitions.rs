use super::guid::Guid;
use super::text;
use crate::little_endian::LogReader;

const SIGNATURE: &[u8; 8] = b"EFI PART";
/// EFI_PARTITION_ENTRY: both GUIDs, first and last block, attributes, then the name.
const ENTRY_FIXED_LEN: u32 = 56;

/// The partition table of the boot disk (UEFI_GPT_DATA).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionTable {
    /// The disk's own GUID.
    pub disk: Guid,
    /// Its partitions in the table's order.
    pub partitions: Vec<Partition>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The GUID of its type.
    pub kind: Guid,
    /// Its own GUID.
    pub id: Guid,
    /// Its first and last block.
    pub blocks: (u64, u64),
    /// Its name; empty if it is malformed.
    pub name: String,
}

impl PartitionTable {
    /// Returns `None` unless the structure is well formed and takes up all of the data.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let mut reader = LogReader::new(data);
        if reader.array()? != *SIGNATURE {
            return None;
        }
        let (_revision, header_len) = (reader.u32()?, reader.u32()?);
        // CRC, reserved, then the blocks: this, other, first usable, last usable.
        reader.bytes(4 + 4 + 4 * 8)?;
        let disk = reader.guid()?;
        let (_entries_at, _entry_count) = (reader.u64()?, reader.u32()?);
        let (entry_len, _entries_crc) = (reader.u32()?, reader.u32()?);
        reader.counted(u64::from(header_len).checked_sub(reader.offset().try_into().ok()?)?)?;
        let count = reader.u64()?;
        let mut partitions = Vec::new();
        for _ in 0..count {
            partitions.push(Partition::read(reader.counted(entry_len.into())?, entry_len)?);
        }
        reader.is_empty().then_some(Self { disk, partitions })
    }
}

impl Partition {
    fn read(entry: &[u8], entry_len: u32) -> Option<Self> {
        let name_len = entry_len.checked_sub(ENTRY_FIXED_LEN)?;
        let mut reader = LogReader::new(entry);
        let (kind, id) = (reader.guid()?, reader.guid()?);
        let blocks = (reader.u64()?, reader.u64()?);
        let _attributes = reader.u64()?;
        let name = without_trailing_zeros(reader.counted(name_len.into())?);
        Some(Self { kind, id, blocks, name: text::utf16(name).unwrap_or_default() })
    }
}

fn without_trailing_zeros(units: &[u8]) -> &[u8] {
    let used = units.chunks(2).rposition(|unit| unit != [0, 0]).map_or(0, |last| (last + 1) * 2);
    units.split_at_checked(used).map_or(units, |(used, _)| used)
}
