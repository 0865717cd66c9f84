//! Decodes what U-Boot measures when it starts a kernel itself (`bootm_measure` of boot/bootm.c).
//!
//! It extends the kernel into PCR 8, the initrd into PCR 9 (its first versions: PCR 8), the device tree into PCR
//! 1 (until 2024: PCR 0), and the variable `bootargs` with a NUL into PCR 1. Then it extends separators into
//! PCRs 0 to 7.

use super::{Decoded, Measured};
use crate::eventlog::event::Event;
use crate::eventlog::facts::event_fact::{Stage, Tie};
use crate::eventlog::facts::fact::Fact;
use crate::eventlog::facts::text;
use crate::eventlog::kind::EventKind;
use crate::tpm::HashAlgorithm;

const BOOTARGS_PCR: u8 = 1;
const KERNEL_PCR: u8 = 8;

/// Decodes EV_COMPACT_HASH. Its data, a claim, names what was measured.
pub(super) fn image<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let name = text::utf8(measured.data())?;
    let fact = match (measured.event.pcr, name.as_str()) {
        (KERNEL_PCR, "linux") => Fact::Kernel,
        (KERNEL_PCR | 9, "initrd") => Fact::Initrd,
        _ => Fact::LoadedFile { path: name },
    };
    Some((fact, Tie::Digest))
}

/// Returns whether U-Boot started a kernel.
pub(super) fn has_started_kernel(events: &[Event<'_>]) -> bool {
    let is_kernel = |event: &Event<'_>| {
        (event.kind, event.pcr) == (EventKind::COMPACT_HASH, KERNEL_PCR)
            && text::utf8(event.data).as_deref() == Some("linux")
    };
    events.iter().any(is_kernel)
}

/// Decodes the command line in PCR 1, in a log in which U-Boot started a kernel. Other firmware logs settings
/// with the same event type. Returns `None` for other events, or if the digest does not cover a text with its
/// NUL.
pub(super) fn command_line<'a>(event: &Event<'a>, stage: Stage, bank: HashAlgorithm) -> Decoded<'a> {
    let is_candidate = (event.kind, event.pcr) == (EventKind::PLATFORM_CONFIG_FLAGS, BOOTARGS_PCR);
    // U-Boot extends the separator after it.
    if !is_candidate || stage != Stage::Firmware {
        return None;
    }
    let measured = Measured { event, digest: event.digest(bank)? };
    let text = text::utf8(event.data.strip_suffix(&[0])?)?;
    measured.covers(&[event.data]).then_some((Fact::CommandLine(text), Tie::Digest))
}
