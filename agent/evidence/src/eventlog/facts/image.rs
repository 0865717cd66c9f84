use super::device_path;
use crate::eventlog::kind::EventKind;
use crate::little_endian::LogReader;

/// An image that the firmware, or a boot loader through it, has loaded (UEFI_IMAGE_LOAD_EVENT).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What it was loaded as.
    pub role: ImageRole,
    /// Where the log says that it came from, in the text form of UEFI's device paths. A claim.
    pub path: Option<String>,
}

/// What an image was loaded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageRole {
    /// A boot loader, a unified kernel image, a kernel.
    Application,
    /// A driver for the time of booting.
    BootDriver,
    /// A driver that stays.
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
    device_path::shown(reader.counted(path_len)?)
}
