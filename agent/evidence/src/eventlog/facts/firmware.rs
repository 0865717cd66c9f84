use super::uefi;
use super::uefi::Guid;
use crate::bytes::LogReader;
use crate::eventlog::kind::EventKind;

/// A measured part of the firmware. The fact is the digest; all fields here are claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirmwareContent {
    /// The part.
    pub part: FirmwarePart,
    /// The firmware's name for it; empty if it has none.
    pub description: String,
    /// Its place in memory.
    pub region: Option<MemoryRegion>,
}

/// Parts of firmware, by the event types that measure them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FirmwarePart {
    /// The code that measures first, or its version if that is not text.
    RootOfTrust,
    /// Firmware code.
    Code,
    /// Microcode of the processor.
    Microcode,
    /// Tables for the operating system, such as SMBIOS and ACPI.
    Tables,
    /// The SMBIOS tables only, in which firmware such as OVMF 2026.08 measures UUID and serial number.
    MachineTables,
    /// The hardware description that U-Boot passes to the operating system.
    DeviceTree,
    /// Settings, straps and flags.
    Configuration,
    /// Firmware of other processors, such as a management controller.
    OtherProcessor,
    /// Firmware, settings or certificates of an add-in device, as the device reported them (SPDM).
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
    /// Returns `None` if the event type is not one for parts of the firmware.
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
            // Old firmware has text here, other firmware a region.
            _ => match uefi::ascii(data) {
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

/// Returns whether U-Boot marks the event as a device tree; other firmware uses the event type for other tables.
fn is_device_tree(kind: EventKind, data: &[u8]) -> bool {
    kind == EventKind::TABLE_OF_DEVICES && uefi::ascii(data).as_deref() == Some("dts")
}

/// Returns `Some` if the event covers SMBIOS tables and no others (UEFI_HANDOFF_TABLE_POINTERS).
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
        // The table's address.
        reader.u64()?;
        Guid::SMBIOS_TABLES.contains(&guid).then_some(())?;
        left = left.saturating_sub(1);
    }
    reader.is_empty().then_some(())
}

/// Reads a text after a byte with its length; returns the text and the remaining bytes.
fn read_described(data: &[u8]) -> Option<(String, &[u8])> {
    let mut reader = LogReader::new(data);
    let len = reader.u8()?;
    let description = uefi::utf8(reader.bytes(len.into())?)?;
    Some((description, reader.remainder()))
}

/// The action that an EV_EFI_ACTION or EV_ACTION event reports (TCG PC Client Platform Firmware Profile, section
/// 10.4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// The firmware starts a boot option.
    CallingApplication,
    /// The boot option returned.
    ReturningFromApplication,
    /// The operating system takes over the machine.
    ExitingBootServices,
    /// The operating system has taken over.
    ExitedBootServices,
    /// The operating system failed to take over and usually tries again.
    StayedInBootServices,
    /// A debugger could be attached to the firmware.
    DebugMode,
    /// Another action, in the firmware's words.
    Other(String),
}

impl Action {
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        uefi::utf8(data).map(|text| Self::named(&text).unwrap_or(Self::Other(text)))
    }

    /// Returns the profile's text for the action.
    pub fn as_str(&self) -> &str {
        match self {
            Self::CallingApplication => "Calling EFI Application from Boot Option",
            Self::ReturningFromApplication => "Returning from EFI Application from Boot Option",
            Self::ExitingBootServices => "Exit Boot Services Invocation",
            Self::ExitedBootServices => "Exit Boot Services Returned with Success",
            Self::StayedInBootServices => "Exit Boot Services Returned with Failure",
            Self::DebugMode => "UEFI Debug Mode",
            Self::Other(text) => text,
        }
    }

    fn named(text: &str) -> Option<Self> {
        [
            Self::CallingApplication,
            Self::ReturningFromApplication,
            Self::ExitingBootServices,
            Self::ExitedBootServices,
            Self::StayedInBootServices,
            Self::DebugMode,
        ]
        .into_iter()
        .find(|action| action.as_str() == text)
    }
}
