//! Decodes the events of boot loaders: EV_IPL, for which each boot loader has its own format, recognized by the PCR;
//! tagged events; and the events of U-Boot when it starts a kernel itself (`bootm_measure` of boot/bootm.c).
//!
//! U-Boot extends the kernel into PCR 8, the initrd into PCR 9 (its first versions: PCR 8), the device tree into PCR 1
//! (until 2024: PCR 0), and the variable `bootargs` with a NUL into PCR 1. Then it extends separators into PCRs 0 to 7.

use super::fact::{Fact, LoaderData, SectionPart, Stage, Tie};
use super::uefi;
use crate::bytes::LogReader;
use crate::eventlog::kind::EventKind;
use crate::eventlog::log::LogEvent;
use crate::tpm::{HashAlgorithm, TaggedDigest};

/// The result of a decoder; `None` if the event is unknown, in the wrong PCR, or malformed.
pub(super) type Decoded<'a> = Option<(Fact<'a>, Tie)>;

/// An event with its digest in the appraised bank.
pub(super) struct Measured<'e, 'a> {
    pub(super) event: &'e LogEvent<'a>,
    pub(super) digest: &'e TaggedDigest,
}

impl<'a> Measured<'_, 'a> {
    pub(super) fn data(&self) -> &'a [u8] {
        self.event.data
    }

    /// Returns whether the digest is the hash of these parts in sequence.
    pub(super) fn covers(&self, parts: &[&[u8]]) -> bool {
        self.digest.algorithm().digest(parts) == *self.digest
    }

    /// Ties a fact that was decoded from all of the data: to the digest if the digest covers the data.
    pub(super) fn whole(&self, fact: Fact<'a>) -> (Fact<'a>, Tie) {
        let tie = if self.covers(&[self.data()]) { Tie::Digest } else { Tie::Claim };
        (fact, tie)
    }
}

pub(super) fn decode_ipl<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    match measured.event.pcr {
        8 => grub_text(measured).or_else(|| load_options(measured)),
        9 => grub_file(measured).or_else(|| loader_data(measured)),
        11 => section(measured),
        12 => load_options(measured).or_else(|| loader_data(measured)),
        13 => loader_data(measured),
        14 => shim_variable(measured),
        _ => None,
    }
}

/// Decodes a text of GRUB, which hashes it without the prefix that names its type. The builds of RHEL 8 and others
/// write no colon, name the command line `grub_kernel_cmdline`, and hash a command with its NUL.
fn grub_text<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let whole = uefi::utf8(measured.data())?;
    let (prefix, text) = whole.split_once(' ')?;
    let fact = match prefix.strip_suffix(':').unwrap_or(prefix) {
        "grub_cmd" => Fact::LoaderCommand(text.to_owned()),
        "kernel_cmdline" | "grub_kernel_cmdline" | "module_cmdline" => Fact::CommandLine(text.to_owned()),
        _ => return None,
    };
    let is_covered = measured.covers(&[text.as_bytes()]) || measured.covers(&[text.as_bytes(), &[0]]);
    Some((fact, if is_covered { Tie::Digest } else { Tie::Claim }))
}

fn grub_file<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    Some((Fact::LoadedFile { path: uefi::utf8(measured.data())? }, Tie::Digest))
}

/// Decodes the command line of systemd-boot or systemd-stub, which hash it as UTF-16 with its NUL. Until version 250
/// they used PCR 8 and logged one byte less than they hashed.
fn load_options<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    const NUL: &[u8] = &[0, 0];
    let data = measured.data();
    let units = data.strip_suffix(NUL).filter(|units| units.len().is_multiple_of(2));
    let units = units.or_else(|| data.strip_suffix(&[0]))?;
    let text = uefi::utf16(units)?;
    measured.covers(&[units, NUL]).then_some((Fact::CommandLine(text), Tie::Digest))
}

/// Decodes a section. systemd-stub first measures the section's name, in ASCII with its NUL, then its content; the log
/// has the name in UTF-16 for both.
fn section<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let name = uefi::utf16(measured.data())?;
    if !name.is_ascii() || !name.starts_with('.') {
        return None;
    }
    let part = match measured.covers(&[name.as_bytes(), &[0]]) {
        true => SectionPart::Name,
        false => SectionPart::Content,
    };
    Some((Fact::UnifiedSection { name, part }, Tie::Digest))
}

/// Decodes credentials and extensions that systemd-stub found next to the image.
fn loader_data<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let description = uefi::utf16(measured.data())?;
    Some((Fact::LoaderData(LoaderData { tag: None, description }), Tie::Digest))
}

/// Decodes a variable of shim. The name ends at its NUL: some builds of shim log one byte of the memory after it.
fn shim_variable<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let name = measured.data().split(|byte| *byte == 0).next()?;
    Some((Fact::MachineOwnerKeys { name: uefi::utf8(name)? }, Tie::Digest))
}

/// The tag of the kernel's EFI stub, in PCR 9.
const INITRD: u32 = 0x8f3b_22ec;
const LOAD_OPTIONS: u32 = 0x8f3b_22ed;
const KERNEL_PCR: u8 = 9;
/// The tag of systemd-boot and systemd-stub since version 262, in PCR 1: the first SMBIOS table of type 1.
const SMBIOS: u32 = 0xd5cb_7cbc;
const SETTINGS_PCR: u8 = 1;

/// Decodes EV_EVENT_TAG. The event's data is a tag and a description; the digest is that of other data, which the
/// kernel or systemd measured.
pub(super) fn decode_tagged<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
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
            let description = uefi::ascii(description).unwrap_or_default();
            Fact::LoaderData(LoaderData { tag: Some(tag), description })
        }
    };
    Some((fact, Tie::Digest))
}

const BOOTARGS_PCR: u8 = 1;
const U_BOOT_KERNEL_PCR: u8 = 8;

/// Decodes EV_COMPACT_HASH. Its data, a claim, names what was measured.
pub(super) fn u_boot_image<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let name = uefi::utf8(measured.data())?;
    let fact = match (measured.event.pcr, name.as_str()) {
        (U_BOOT_KERNEL_PCR, "linux") => Fact::Kernel,
        (U_BOOT_KERNEL_PCR | 9, "initrd") => Fact::Initrd,
        _ => Fact::LoadedFile { path: name },
    };
    Some((fact, Tie::Digest))
}

/// Returns whether U-Boot started a kernel.
pub(super) fn has_started_kernel(events: &[LogEvent<'_>]) -> bool {
    let is_kernel = |event: &LogEvent<'_>| {
        (event.kind, event.pcr) == (EventKind::COMPACT_HASH, U_BOOT_KERNEL_PCR)
            && uefi::utf8(event.data).as_deref() == Some("linux")
    };
    events.iter().any(is_kernel)
}

/// Decodes the command line in PCR 1, in a log in which U-Boot started a kernel. Other firmware logs settings
/// with the same event type. Returns `None` for other events, or if the digest does not cover a text with its
/// NUL.
pub(super) fn u_boot_command_line<'a>(
    event: &LogEvent<'a>,
    stage: Stage,
    bank: HashAlgorithm,
) -> Decoded<'a> {
    let is_candidate = (event.kind, event.pcr) == (EventKind::PLATFORM_CONFIG_FLAGS, BOOTARGS_PCR);
    // U-Boot extends the separator after it.
    if !is_candidate || stage != Stage::Firmware {
        return None;
    }
    let measured = Measured { event, digest: event.digest(bank)? };
    let text = uefi::utf8(event.data.strip_suffix(&[0])?)?;
    measured.covers(&[event.data]).then_some((Fact::CommandLine(text), Tie::Digest))
}
