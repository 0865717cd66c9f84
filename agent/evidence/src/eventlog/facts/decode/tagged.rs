use super::{Decoded, Measured};
use crate::eventlog::facts::event_fact::Tie;
use crate::eventlog::facts::fact::{Fact, LoaderData};
use crate::eventlog::facts::text;
use crate::little_endian::LogReader;

/// The tag of the kernel's EFI stub, in PCR 9.
const INITRD: u32 = 0x8f3b_22ec;
const LOAD_OPTIONS: u32 = 0x8f3b_22ed;
const KERNEL_PCR: u8 = 9;
/// The tag of systemd-boot and systemd-stub since version 262, in PCR 1: the first SMBIOS table of type 1.
const SMBIOS: u32 = 0xd5cb_7cbc;
const SETTINGS_PCR: u8 = 1;

/// Decodes EV_EVENT_TAG. The kernel and systemd tag what they measured; the digest is that of the measured data.
pub(super) fn decode<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let mut reader = LogReader::new(measured.data());
    let tag = reader.u32()?;
    let description = reader.sized()?;
    if !reader.is_empty() {
        return None;
    }
    let fact = match (measured.event.pcr, tag) {
        (KERNEL_PCR, INITRD) => Fact::Initrd,
        (KERNEL_PCR, LOAD_OPTIONS) => Fact::LoadOptions,
        (SETTINGS_PCR, SMBIOS) => Fact::MachineTable,
        (SETTINGS_PCR, _) => return None,
        _ => {
            let description = text::ascii(description).unwrap_or_default();
            Fact::LoaderData(LoaderData { tag: Some(tag), description })
        }
    };
    Some((fact, Tie::Digest))
}
