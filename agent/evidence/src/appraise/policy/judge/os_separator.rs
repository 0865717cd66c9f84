use super::explain::Ruling;
use crate::appraise::policy::Policy;
use crate::appraise::policy::boot::{Boot, is_os_separator};
use crate::eventlog::Stage;
use crate::measure_log::OS_SEPARATOR_PCRS;

const SEPARATOR: &str = "boot.require-os-separator";

/// Checks that systemd's os-separator comes where it must. systemd extends it once into each of its PCRs before
/// anything else runs, so firmware and boot loader events after one come from the running system, which could
/// forge them.
pub(super) fn rulings(policy: &Policy, boot: &Boot<'_>, pcr: u8) -> Vec<(Option<usize>, Ruling)> {
    if !OS_SEPARATOR_PCRS.contains(&pcr) {
        return Vec::new();
    }
    let firmware = boot.events().iter().filter(|event| event.pcr == pcr && event.stage != Stage::UserSpace);
    let mut rulings: Vec<(Option<usize>, Ruling)> = firmware
        .filter(|event| is_os_separator(event))
        .map(|event| {
            let text = format!(
                "the boot event log has an os-separator in PCR {pcr}, which only the running system extends: \
                 nothing behind it counts as measured by firmware or boot loader"
            );
            (Some(event.number), Ruling::refused(SEPARATOR, text))
        })
        .collect();
    let required = policy.boot.require_os_separator || !boot.separated().is_empty();
    let text = match boot.os_separators(pcr) {
        1 => None,
        0 if required => Some(format!(
            "PCR {pcr} has no os-separator: what came after the boot loader cannot be told from what it measured"
        )),
        0 => None,
        count => Some(format!("PCR {pcr} has {count} os-separators, and systemd extends one")),
    };
    rulings.extend(text.map(|text| (None, Ruling::refused(SEPARATOR, text))));
    rulings
}
