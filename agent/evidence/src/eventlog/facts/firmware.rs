use super::guid::Guid;
use super::text;
use crate::eventlog::kind::EventKind;
use crate::little_endian::LogReader;

/// A part of the firmware that was measured. The digest is the fact; all of this is a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirmwareContent {
    /// What it is.
    pub part: FirmwarePart,
    /// What the firmware calls it, empty where it gives no name.
    pub description: String,
    /// Where it lay in memory.
    pub region: Option<MemoryRegion>,
}

/// Parts of firmware, by the kinds of event that measure them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FirmwarePart {
    /// The code that measures first, or its version where that is no text.
    RootOfTrust,
    /// Code of the firmware.
    Code,
    /// Microcode of the processor.
    Microcode,
    /// Tables that are handed to the operating system, such as SMBIOS and ACPI.
    Tables,
    /// The SMBIOS tables alone, in which firmware such as OVMF 2026.08 measures UUID and serial number.
    MachineTables,
    /// The description of the hardware that U-Boot hands to the operating system.
    DeviceTree,
    /// Settings, straps and flags.
    Configuration,
    /// Processors beside the host's, such as a management controller.
    OtherProcessor,
    /// Firmware, settings or certificates of an add-in device, as it reported them (SPDM).
    Device,
}

/// A range of physical memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryRegion {
    /// Its first address.
    pub base: u64,
    /// Its length in bytes.
    pub len: u64,
}

impl FirmwareContent {
    /// `None` when the kind of event is none of a part of the firmware.
    pub(super) fn read(kind: EventKind, data: &[u8]) -> Option<Self> {
        let part = match part(kind)? {
            _ if is_device_tree(kind, data) => FirmwarePart::DeviceTree,
            FirmwarePart::Tables if names_smbios_alone(kind, data).is_some() => FirmwarePart::MachineTables,
            part => part,
        };
        Some(match kind {
            EventKind::EFI_PLATFORM_FIRMWARE_BLOB => {
                Self { part, description: String::new(), region: MemoryRegion::read(data) }
            }
            EventKind::EFI_PLATFORM_FIRMWARE_BLOB2 | EventKind::POST_CODE2 => {
                let (description, region) = read_described(data).unwrap_or_default();
                Self { part, description, region: MemoryRegion::read(region) }
            }
            EventKind::EFI_HANDOFF_TABLES2 => {
                let (description, _tables) = read_described(data).unwrap_or_default();
                Self { part, description, region: None }
            }
            // Text in old firmware, a region in some.
            _ => match text::ascii(data) {
                Some(description) => Self { part, description, region: None },
                None => Self { part, description: String::new(), region: MemoryRegion::read(data) },
            },
        })
    }
}

impl MemoryRegion {
    fn read(data: &[u8]) -> Option<Self> {
        let mut reader = LogReader::new(data);
        let (base, len) = (reader.u64()?, reader.u64()?);
        reader.is_empty().then_some(Self { base, len })
    }
}

fn part(kind: EventKind) -> Option<FirmwarePart> {
    Some(match kind {
        EventKind::S_CRTM_CONTENTS | EventKind::S_CRTM_VERSION | EventKind::EFI_HCRTM_EVENT => {
            FirmwarePart::RootOfTrust
        }
        EventKind::POST_CODE
        | EventKind::POST_CODE2
        | EventKind::EFI_PLATFORM_FIRMWARE_BLOB
        | EventKind::EFI_PLATFORM_FIRMWARE_BLOB2 => FirmwarePart::Code,
        EventKind::CPU_MICROCODE => FirmwarePart::Microcode,
        EventKind::EFI_HANDOFF_TABLES | EventKind::EFI_HANDOFF_TABLES2 => FirmwarePart::Tables,
        EventKind::PLATFORM_CONFIG_FLAGS
        | EventKind::TABLE_OF_DEVICES
        | EventKind::COMPACT_HASH
        | EventKind::EVENT_TAG => FirmwarePart::Configuration,
        EventKind::NONHOST_CODE | EventKind::NONHOST_CONFIG | EventKind::NONHOST_INFO => {
            FirmwarePart::OtherProcessor
        }
        EventKind::EFI_SPDM_FIRMWARE_BLOB
        | EventKind::EFI_SPDM_FIRMWARE_CONFIG
        | EventKind::EFI_SPDM_DEVICE_POLICY
        | EventKind::EFI_SPDM_DEVICE_AUTHORITY => FirmwarePart::Device,
        _ => return None,
    })
}

/// U-Boot calls it so in a kind of event that other firmware has for other tables.
fn is_device_tree(kind: EventKind, data: &[u8]) -> bool {
    kind == EventKind::TABLE_OF_DEVICES && text::ascii(data).as_deref() == Some("dts")
}

/// `Some` where the event says that it is of SMBIOS tables and of no others (UEFI_HANDOFF_TABLE_POINTERS).
fn names_smbios_alone(kind: EventKind, data: &[u8]) -> Option<()> {
    let data = match kind {
        EventKind::EFI_HANDOFF_TABLES2 => read_described(data)?.1,
        _ => data,
    };
    let mut reader = LogReader::new(data);
    let mut left = reader.u64()?;
    (left > 0).then_some(())?;
    while left > 0 {
        let guid = Guid::from_bytes(reader.bytes(16)?.try_into().ok()?);
        // Where the table lies in memory.
        reader.u64()?;
        Guid::SMBIOS_TABLES.contains(&guid).then_some(())?;
        left = left.saturating_sub(1);
    }
    reader.is_empty().then_some(())
}

/// A text with its length in a byte before it, then the rest.
fn read_described(data: &[u8]) -> Option<(String, &[u8])> {
    let mut reader = LogReader::new(data);
    let len = reader.u8()?;
    let description = text::utf8(reader.bytes(len.into())?)?;
    Some((description, reader.remainder()))
}
