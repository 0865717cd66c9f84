use std::collections::BTreeSet;

use super::super::evidence::Evidence;
use super::super::reference::{BootState, ReferenceValues};
use crate::appraise::{Area, Reason, TrustTier, area_of_pcr};
use crate::tpm::PcrValues;

const ACCEPTED: &str = "boot-state.accepted";

/// Checks that the lease's PCRs equal an accepted state.
pub(in crate::appraise) fn is_accepted(evidence: &Evidence<'_>, reference: &ReferenceValues) -> Vec<Reason> {
    let quoted = match evidence.quote.pcrs().select(&reference.lease_selection) {
        Ok(quoted) => quoted,
        Err(missing) => {
            let text = format!("{missing} from the quote: a lease needs it");
            return vec![Reason::new(ACCEPTED, Area::Boot, TrustTier::Contraindicated, text)];
        }
    };
    if quoted.is_empty() {
        let text = "the policy selects no PCR for a lease, so that any software could use it";
        return vec![Reason::new(ACCEPTED, Area::Boot, TrustTier::Contraindicated, text)];
    }
    let nearest = reference
        .boot_states
        .iter()
        .map(|state| (state, state.differences(&reference.lease_selection, evidence.quote.pcrs())))
        .min_by_key(|(_, differences)| differences.len());
    match nearest {
        None => {
            let text = "no boot state is accepted for this device yet";
            vec![Reason::new(ACCEPTED, Area::Boot, TrustTier::Contraindicated, text)]
        }
        Some((state, differences)) if differences.is_empty() => is(state, &quoted),
        Some((state, differences)) => differences
            .into_iter()
            .map(|(bank, index)| {
                let text = format!(
                    "PCR {index} ({bank}: {}) is not what it is in \"{}\", the nearest accepted boot state",
                    meaning(index),
                    state.name
                );
                Reason::new(ACCEPTED, area_of_pcr(index), TrustTier::Contraindicated, text)
            })
            .collect(),
    }
}

/// Returns an affirming reason for each area with a PCR in the state.
fn is(state: &BootState, quoted: &PcrValues) -> Vec<Reason> {
    let areas: BTreeSet<Area> = quoted.iter().map(|(_, index, _)| area_of_pcr(index)).collect();
    let text = format!("the boot state is \"{}\"", state.name);
    areas.into_iter().map(|area| Reason::new(ACCEPTED, area, TrustTier::Affirming, text.clone())).collect()
}

/// Returns the meaning of a PCR (TCG PC Client Platform Firmware Profile, section 3.3.4; Linux TPM PCR
/// Registry).
fn meaning(index: u8) -> &'static str {
    match index {
        0 => "firmware",
        1 => "firmware settings",
        2 => "firmware of add-in cards",
        3 => "settings of add-in cards",
        4 => "boot loader or kernel image",
        5 => "boot configuration and partition table",
        6 => "platform events",
        7 => "Secure Boot state and keys",
        8 => "commands and kernel command line of the boot loader",
        9 => "kernel, initrd and files that the boot loader read",
        10 => "files run since boot",
        11 => "unified kernel image and boot phases",
        12 => "kernel command line and credentials",
        13 => "system extensions",
        14 => "keys enrolled in shim",
        15 => "machine identity",
        _ => "applications",
    }
}
