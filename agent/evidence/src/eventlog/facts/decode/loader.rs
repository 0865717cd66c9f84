//! Decodes EV_IPL. Each boot loader has its own format; the PCR shows which.

use super::{Decoded, Measured};
use crate::eventlog::facts::event_fact::Tie;
use crate::eventlog::facts::fact::{Fact, LoaderData, SectionPart};
use crate::eventlog::facts::text;

pub(super) fn decode<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
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

/// GRUB hashes a text without the prefix that names its type. The builds of RHEL 8 and others write no colon,
/// name the command line `grub_kernel_cmdline`, and hash a command with its NUL.
fn grub_text<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let whole = text::utf8(measured.data())?;
    let (prefix, said) = whole.split_once(' ')?;
    let fact = match prefix.strip_suffix(':').unwrap_or(prefix) {
        "grub_cmd" => Fact::LoaderCommand(said.to_owned()),
        "kernel_cmdline" | "grub_kernel_cmdline" | "module_cmdline" => Fact::CommandLine(said.to_owned()),
        _ => return None,
    };
    let is_covered = measured.covers(&[said.as_bytes()]) || measured.covers(&[said.as_bytes(), &[0]]);
    Some((fact, if is_covered { Tie::Digest } else { Tie::Claim }))
}

fn grub_file<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    Some((Fact::LoadedFile { path: text::utf8(measured.data())? }, Tie::Digest))
}

/// systemd-boot and systemd-stub hash the command line that they received or override: UTF-16 with its NUL.
/// Until version 250 they used PCR 8 and logged one byte less.
fn load_options<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    const NUL: &[u8] = &[0, 0];
    let data = measured.data();
    let units = data.strip_suffix(NUL).filter(|units| units.len().is_multiple_of(2));
    let units = units.or_else(|| data.strip_suffix(&[0]))?;
    let text = text::utf16(units)?;
    measured.covers(&[units, NUL]).then_some((Fact::CommandLine(text), Tie::Digest))
}

/// systemd-stub first measures a section's name, in ASCII with its NUL, then its content; the log has the name
/// in UTF-16 for both.
fn section<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let name = text::utf16(measured.data())?;
    if !name.is_ascii() || !name.starts_with('.') {
        return None;
    }
    let part = match measured.covers(&[name.as_bytes(), &[0]]) {
        true => SectionPart::Name,
        false => SectionPart::Content,
    };
    Some((Fact::UnifiedSection { name, part }, Tie::Digest))
}

/// Credentials and extensions that systemd-stub found next to the image.
fn loader_data<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let description = text::utf16(measured.data())?;
    Some((Fact::LoaderData(LoaderData { tag: None, description }), Tie::Digest))
}

/// The name ends at its NUL: some builds of shim log one byte of the memory after it.
fn shim_variable<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let name = measured.data().split(|byte| *byte == 0).next()?;
    Some((Fact::MachineOwnerKeys { name: text::utf8(name)? }, Tie::Digest))
}
