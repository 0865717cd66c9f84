use std::fmt;

/// The event type (TCG PC Client Platform Firmware Profile, table 27).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventKind(pub u32);

impl EventKind {
    /// Firmware code, in old logs.
    pub const POST_CODE: Self = Self(0x0000_0001);
    /// Informational: extended into no PCR.
    pub const NO_ACTION: Self = Self(0x0000_0003);
    /// Ends the part of the log that belongs to one actor.
    pub const SEPARATOR: Self = Self(0x0000_0004);
    /// An action, in old logs.
    pub const ACTION: Self = Self(0x0000_0005);
    /// Measurements of the kernel's EFI stub and systemd, each with a tag.
    pub const EVENT_TAG: Self = Self(0x0000_0006);
    /// The code that measures first.
    pub const S_CRTM_CONTENTS: Self = Self(0x0000_0007);
    /// The version of the code that measures first.
    pub const S_CRTM_VERSION: Self = Self(0x0000_0008);
    /// Microcode of the processor.
    pub const CPU_MICROCODE: Self = Self(0x0000_0009);
    /// Settings of the platform.
    pub const PLATFORM_CONFIG_FLAGS: Self = Self(0x0000_000a);
    /// A table of devices that the platform's manufacturer defines.
    pub const TABLE_OF_DEVICES: Self = Self(0x0000_000b);
    /// Anything; the software that measures defines it.
    pub const COMPACT_HASH: Self = Self(0x0000_000c);
    /// Initial program loader: what GRUB, shim and systemd-stub measure.
    pub const IPL: Self = Self(0x0000_000d);
    /// Firmware code of another processor.
    pub const NONHOST_CODE: Self = Self(0x0000_000f);
    /// Settings of another processor.
    pub const NONHOST_CONFIG: Self = Self(0x0000_0010);
    /// The presence of another processor.
    pub const NONHOST_INFO: Self = Self(0x0000_0011);
    /// The firmware does not log boot attempts.
    pub const OMIT_BOOT_DEVICE_EVENTS: Self = Self(0x0000_0012);
    /// Firmware code.
    pub const POST_CODE2: Self = Self(0x0000_0013);
    /// A UEFI variable that configures drivers: Secure Boot and its databases.
    pub const EFI_VARIABLE_DRIVER_CONFIG: Self = Self(0x8000_0001);
    /// A UEFI variable that configures booting.
    pub const EFI_VARIABLE_BOOT: Self = Self(0x8000_0002);
    /// A boot application: shim, GRUB, a unified kernel image.
    pub const EFI_BOOT_SERVICES_APPLICATION: Self = Self(0x8000_0003);
    /// A driver for the time of booting.
    pub const EFI_BOOT_SERVICES_DRIVER: Self = Self(0x8000_0004);
    /// A driver that remains after booting.
    pub const EFI_RUNTIME_SERVICES_DRIVER: Self = Self(0x8000_0005);
    /// The partition table.
    pub const EFI_GPT_EVENT: Self = Self(0x8000_0006);
    /// An action.
    pub const EFI_ACTION: Self = Self(0x8000_0007);
    /// Firmware code, by its address in memory.
    pub const EFI_PLATFORM_FIRMWARE_BLOB: Self = Self(0x8000_0008);
    /// Tables for the operating system.
    pub const EFI_HANDOFF_TABLES: Self = Self(0x8000_0009);
    /// Firmware code, with a name.
    pub const EFI_PLATFORM_FIRMWARE_BLOB2: Self = Self(0x8000_000a);
    /// Tables for the operating system, with a name.
    pub const EFI_HANDOFF_TABLES2: Self = Self(0x8000_000b);
    /// As [`Self::EFI_VARIABLE_BOOT`], with a digest of all of it.
    pub const EFI_VARIABLE_BOOT2: Self = Self(0x8000_000c);
    /// The partition table, without the parts that differ between disks.
    pub const EFI_GPT_EVENT2: Self = Self(0x8000_000d);
    /// The root of trust, measured by hardware.
    pub const EFI_HCRTM_EVENT: Self = Self(0x8000_0010);
    /// The entry that authorized an image.
    pub const EFI_VARIABLE_AUTHORITY: Self = Self(0x8000_00e0);
    /// Firmware of a device, as the device reported it.
    pub const EFI_SPDM_FIRMWARE_BLOB: Self = Self(0x8000_00e1);
    /// Settings of a device.
    pub const EFI_SPDM_FIRMWARE_CONFIG: Self = Self(0x8000_00e2);
    /// The required authentication of devices.
    pub const EFI_SPDM_DEVICE_POLICY: Self = Self(0x8000_00e3);
    /// The entry that authorized a device.
    pub const EFI_SPDM_DEVICE_AUTHORITY: Self = Self(0x8000_00e4);

    /// Returns the profile's name of the type, if it is known.
    pub fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0x0000_0000 => "EV_PREBOOT_CERT",
            0x0000_0001 => "EV_POST_CODE",
            0x0000_0002 => "EV_UNUSED",
            0x0000_0003 => "EV_NO_ACTION",
            0x0000_0004 => "EV_SEPARATOR",
            0x0000_0005 => "EV_ACTION",
            0x0000_0006 => "EV_EVENT_TAG",
            0x0000_0007 => "EV_S_CRTM_CONTENTS",
            0x0000_0008 => "EV_S_CRTM_VERSION",
            0x0000_0009 => "EV_CPU_MICROCODE",
            0x0000_000a => "EV_PLATFORM_CONFIG_FLAGS",
            0x0000_000b => "EV_TABLE_OF_DEVICES",
            0x0000_000c => "EV_COMPACT_HASH",
            0x0000_000d => "EV_IPL",
            0x0000_000e => "EV_IPL_PARTITION_DATA",
            0x0000_000f => "EV_NONHOST_CODE",
            0x0000_0010 => "EV_NONHOST_CONFIG",
            0x0000_0011 => "EV_NONHOST_INFO",
            0x0000_0012 => "EV_OMIT_BOOT_DEVICE_EVENTS",
            0x0000_0013 => "EV_POST_CODE2",
            0x8000_0001 => "EV_EFI_VARIABLE_DRIVER_CONFIG",
            0x8000_0002 => "EV_EFI_VARIABLE_BOOT",
            0x8000_0003 => "EV_EFI_BOOT_SERVICES_APPLICATION",
            0x8000_0004 => "EV_EFI_BOOT_SERVICES_DRIVER",
            0x8000_0005 => "EV_EFI_RUNTIME_SERVICES_DRIVER",
            0x8000_0006 => "EV_EFI_GPT_EVENT",
            0x8000_0007 => "EV_EFI_ACTION",
            0x8000_0008 => "EV_EFI_PLATFORM_FIRMWARE_BLOB",
            0x8000_0009 => "EV_EFI_HANDOFF_TABLES",
            0x8000_000a => "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
            0x8000_000b => "EV_EFI_HANDOFF_TABLES2",
            0x8000_000c => "EV_EFI_VARIABLE_BOOT2",
            0x8000_000d => "EV_EFI_GPT_EVENT2",
            0x8000_0010 => "EV_EFI_HCRTM_EVENT",
            0x8000_00e0 => "EV_EFI_VARIABLE_AUTHORITY",
            0x8000_00e1 => "EV_EFI_SPDM_FIRMWARE_BLOB",
            0x8000_00e2 => "EV_EFI_SPDM_FIRMWARE_CONFIG",
            0x8000_00e3 => "EV_EFI_SPDM_DEVICE_POLICY",
            0x8000_00e4 => "EV_EFI_SPDM_DEVICE_AUTHORITY",
            _ => return None,
        })
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#010x}", self.0),
        }
    }
}
