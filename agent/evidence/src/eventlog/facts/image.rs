use super::device_path;
use crate::eventlog::kind::EventKind;
use crate::little_endian::LogReader;

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
    device_path::shown(reader.counted(path_len)?)
}
