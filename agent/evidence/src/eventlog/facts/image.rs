//! Images, boot options and partitions. Device paths (UEFI, section 10.6) are shown as text; in event data they are
//! always claims.

use super::uefi;
use super::uefi::{Guid, Variable};
use crate::bytes::LogReader;
use crate::eventlog::kind::EventKind;

/// An image that the firmware loaded, for itself or for a boot loader (UEFI_IMAGE_LOAD_EVENT).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// How it was loaded.
    pub role: ImageRole,
    /// The path in the log, in the text form of UEFI device paths. A claim.
    pub path: Option<String>,
}

/// How an image was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageRole {
    /// A boot loader, a unified kernel image, a kernel.
    Application,
    /// A driver for the time of booting.
    BootDriver,
    /// A driver that remains after booting.
    RuntimeDriver,
}

impl Image {
    pub(super) fn read(kind: EventKind, data: &[u8]) -> Self {
        let role = match kind {
            EventKind::EFI_BOOT_SERVICES_DRIVER => ImageRole::BootDriver,
            EventKind::EFI_RUNTIME_SERVICES_DRIVER => ImageRole::RuntimeDriver,
            _ => ImageRole::Application,
        };
        Self { role, path: read_path(data) }
    }
}

fn read_path(data: &[u8]) -> Option<String> {
    let mut reader = LogReader::new(data);
    let (_place, _length, _link_time) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let path_len = reader.u64()?;
    device_path_text(reader.counted(path_len)?)
}

/// LOAD_OPTION_ACTIVE.
const ACTIVE: u32 = 1;

/// A boot option of the firmware (EFI_LOAD_OPTION, UEFI section 3.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootOption {
    /// The number in its variable's name.
    pub number: u16,
    /// Whether the firmware tries it.
    pub active: bool,
    /// The text in the firmware's menu.
    pub description: String,
    /// The file that it loads, in the text form of UEFI device paths.
    pub path: Option<String>,
}

impl BootOption {
    /// Returns `None` if the variable is not a boot option, or malformed.
    pub(super) fn of(variable: &Variable<'_>) -> Option<Self> {
        let number = variable.name.strip_prefix("Boot").filter(|digits| digits.len() == 4)?;
        let number = u16::from_str_radix(number, 16).ok()?;
        let mut reader = LogReader::new(variable.data);
        let (attributes, path_len) = (reader.u32()?, reader.u16()?);
        let description = uefi::utf16(read_until_nul(&mut reader)?)?;
        let path = device_path_text(reader.counted(path_len.into())?);
        Some(Self { number, active: attributes & ACTIVE != 0, description, path })
    }
}

/// Reads `BootOrder`; `None` if it is another variable or malformed.
pub(super) fn read_boot_order(variable: &Variable<'_>) -> Option<Vec<u16>> {
    if !variable.is(Guid::GLOBAL_VARIABLE, "BootOrder") {
        return None;
    }
    variable.data.chunks(2).map(|number| number.try_into().ok().map(u16::from_le_bytes)).collect()
}

fn read_until_nul<'a>(reader: &mut LogReader<'a>) -> Option<&'a [u8]> {
    let mut ahead = reader.clone();
    let start = ahead.offset();
    while ahead.u16()? != 0 {}
    reader.bytes(ahead.offset().checked_sub(start)?)
}

const END: u8 = 0x7f;
const PCI_ROOT: u32 = 0x0a03_41d0;
const GPT: u8 = 2;
/// The maximum number of nodes; paths of real machines have fewer than ten.
const NODES_MAX: usize = 64;

/// Returns `None` if the path is empty or malformed.
pub(super) fn device_path_text(path: &[u8]) -> Option<String> {
    let mut reader = LogReader::new(path);
    let mut nodes = Vec::new();
    while !reader.is_empty() && nodes.len() < NODES_MAX {
        let (kind, subkind) = (reader.u8()?, reader.u8()?);
        let data_len = reader.u16()?.checked_sub(4)?;
        let data = reader.bytes(data_len.into())?;
        if kind == END {
            break;
        }
        nodes.push(node(kind, subkind, data).unwrap_or_else(|| format!("Path({kind},{subkind})")));
    }
    (!nodes.is_empty()).then(|| nodes.join("/"))
}

/// Returns `None` if the node is unknown or malformed.
fn node(kind: u8, subkind: u8, data: &[u8]) -> Option<String> {
    let mut reader = LogReader::new(data);
    Some(match (kind, subkind) {
        (1, 1) => {
            let (function, device) = (reader.u8()?, reader.u8()?);
            format!("Pci({device:#x},{function:#x})")
        }
        (2, 1) => match (reader.u32()?, reader.u32()?) {
            (PCI_ROOT, uid) => format!("PciRoot({uid:#x})"),
            (hid, uid) => format!("Acpi({hid:#x},{uid:#x})"),
        },
        (3, 2) => format!("Scsi({},{})", reader.u16()?, reader.u16()?),
        (3, 5) => format!("USB({},{})", reader.u8()?, reader.u8()?),
        (3, 11) => String::from("MAC"),
        (3, 12) => String::from("IPv4"),
        (3, 13) => String::from("IPv6"),
        (3, 18) => format!("Sata({},{},{})", reader.u16()?, reader.u16()?, reader.u16()?),
        (3, 23) => format!("NVMe({:#x})", reader.u32()?),
        (3, 24) => format!("Uri({})", uefi::utf8(data)?),
        (4, 1) => hard_drive(&mut reader)?,
        (4, 3) => format!("VenMedia({})", reader.guid()?),
        (4, 4) => uefi::utf16(data)?,
        (4, 6) => format!("FvFile({})", reader.guid()?),
        (4, 8) => {
            let _reserved = reader.u32()?;
            format!("Offset({:#x},{:#x})", reader.u64()?, reader.u64()?)
        }
        (4, 7) => format!("Fv({})", reader.guid()?),
        _ => return None,
    })
}

fn hard_drive(reader: &mut LogReader<'_>) -> Option<String> {
    let number = reader.u32()?;
    let (_first_block, _blocks) = (reader.u64()?, reader.u64()?);
    let signature = reader.guid()?;
    let (_table_kind, signature_kind) = (reader.u8()?, reader.u8()?);
    Some(match signature_kind {
        GPT => format!("HD({number},GPT,{signature})"),
        _ => format!("HD({number})"),
    })
}

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
        Some(Self { kind, id, blocks, name: uefi::utf16(name).unwrap_or_default() })
    }
}

fn without_trailing_zeros(units: &[u8]) -> &[u8] {
    let used = units.chunks(2).rposition(|unit| unit != [0, 0]).map_or(0, |last| (last + 1) * 2);
    units.split_at_checked(used).map_or(units, |(used, _)| used)
}
