//! The rules that need no policy. A rule that applies returns at least one reason, which can be affirming.

use std::collections::BTreeSet;

use pawl_proto::message::{Area, TrustTier};

use super::evidence::{AppraisedEvidence, BootState, ImaProgress, ReferenceValues};
use super::reason::{Reason, area_of_pcr};
use super::{boot_log, coverage};
use crate::ima::{IMA_PCR, Outcome};
use crate::tpm::{PcrValues, TaggedDigest};

/// Applies the rules that hold with and without a policy.
pub(super) fn always(evidence: &AppraisedEvidence<'_>, reference: &ReferenceValues) -> Vec<Reason> {
    vec![attestation_key_has_signed(), tpm_time_never_goes_back(evidence, reference)]
}

/// Applies the rules that replace a policy: exact accepted states.
pub(super) fn without_policy(evidence: &AppraisedEvidence<'_>, reference: &ReferenceValues) -> Vec<Reason> {
    let mut reasons = boot_state_is_accepted(evidence, reference);
    let of_log = boot_log::accounts_for_pcrs(evidence, reference.boot_log, boot_log::without_policy);
    // Ignore the contents of a log that does not replay.
    if of_log.iter().all(|reason| reason.tier != TrustTier::Contraindicated) {
        reasons.extend(coverage::covers_kernel_and_command_line(evidence, reference));
    }
    reasons.extend(of_log);
    reasons.extend(ima_log_is_confirmed(evidence));
    reasons
}

/// Returns the affirming reason for the hardware: the attestation key signed the verified quote, and this key exists in
/// one TPM only.
fn attestation_key_has_signed() -> Reason {
    let text = "the quote is signed by the attestation key of this TPM";
    Reason::new("hardware.attestation-key", Area::Hardware, TrustTier::Affirming, text)
}

/// Checks that the TPM's time did not go back, as it does if a hypervisor restores an older state of a virtual TPM.
fn tpm_time_never_goes_back(evidence: &AppraisedEvidence<'_>, reference: &ReferenceValues) -> Reason {
    let now = evidence.tpm_time();
    let (tier, text) = match reference.high_water {
        Some(before) if !before.admits(now) => {
            let text = format!(
                "the TPM went back in time, from epoch {}, reset {}, clock {} ms \
                 to epoch {}, reset {}, clock {} ms: \
                 an older state of it was restored, or it was cleared",
                before.epoch,
                before.reset_count,
                before.clock_max_ms,
                now.epoch,
                now.reset_count,
                now.clock_ms
            );
            (TrustTier::Contraindicated, text)
        }
        _ => (TrustTier::Affirming, "the quote answers the latest challenge".to_owned()),
    };
    Reason::new("freshness.tpm-time", Area::Freshness, tier, text)
}

const ACCEPTED: &str = "boot-state.accepted";

/// Checks that the lease's PCRs equal an accepted state.
pub(in crate::appraise) fn boot_state_is_accepted(
    evidence: &AppraisedEvidence<'_>,
    reference: &ReferenceValues,
) -> Vec<Reason> {
    let quoted = match evidence.quote.pcrs().select(&reference.lease_selection) {
        Ok(quoted) => quoted,
        Err(missing) => {
            let text = format!("{missing} from the quote: a lease needs it");
            return vec![Reason::new(ACCEPTED, Area::Boot, TrustTier::Contraindicated, text)];
        }
    };
    if quoted.is_empty() {
        let text = "the policy selects no PCR for the lease, so any software could use it";
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
        Some((state, differences)) if differences.is_empty() => affirm_state(state, &quoted),
        Some((state, differences)) => differences
            .into_iter()
            .map(|(bank, index)| {
                let text = format!(
                    "PCR {index} ({bank}: {}) differs from \"{}\", the nearest accepted boot state",
                    pcr_meaning(index),
                    state.name
                );
                Reason::new(ACCEPTED, area_of_pcr(index), TrustTier::Contraindicated, text)
            })
            .collect(),
    }
}

/// Returns an affirming reason for each area with a PCR in the state.
fn affirm_state(state: &BootState, quoted: &PcrValues) -> Vec<Reason> {
    let areas: BTreeSet<Area> = quoted.iter().map(|(_, index, _)| area_of_pcr(index)).collect();
    let text = format!("the boot state is \"{}\"", state.name);
    areas.into_iter().map(|area| Reason::new(ACCEPTED, area, TrustTier::Affirming, text.clone())).collect()
}

/// Returns the meaning of a PCR (TCG PC Client Platform Firmware Profile, section 3.3.4; Linux TPM PCR
/// Registry).
fn pcr_meaning(index: u8) -> &'static str {
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

/// The rule's name, under a policy too.
pub(in crate::appraise) const IMA_LOG: &str = "ima.log";

/// Checks that PCR 10 confirms the IMA log, if the device keeps one.
pub(in crate::appraise) fn ima_log_is_confirmed(evidence: &AppraisedEvidence<'_>) -> Vec<Reason> {
    let (tier, text) = match evidence.ima {
        ImaProgress::Absent if was_extended(evidence) => {
            (TrustTier::Warning, "PCR 10 was extended, and the device sent no IMA log")
        }
        ImaProgress::Absent | ImaProgress::Followed { outcome: Outcome::Inactive, .. } => return vec![],
        ImaProgress::Behind => (TrustTier::Warning, "the device has not sent all of its IMA log yet"),
        ImaProgress::Followed { outcome, .. } => match outcome {
            Outcome::Unanchored => (TrustTier::Warning, UNANCHORED),
            outcome => ima_log_integrity(outcome),
        },
    };
    vec![Reason::new(IMA_LOG, Area::Runtime, tier, text)]
}

/// The reason for a log that the TPM does not confirm.
pub(in crate::appraise) const UNANCHORED: &str =
    "the IMA log is unanchored: PCR 10 was never extended, because the kernel found its TPM too late";

/// Returns the tier and the reason for a followed log, independent of its entries.
pub(in crate::appraise) fn ima_log_integrity(outcome: Outcome) -> (TrustTier, &'static str) {
    match outcome {
        Outcome::Anchored { padded: false, .. } => (TrustTier::Affirming, "the IMA log accounts for PCR 10"),
        Outcome::Anchored { padded: true, .. } => (
            TrustTier::Warning,
            "the IMA log accounts for PCR 10 only with SHA-1 digests, which the kernel pads with zeros",
        ),
        Outcome::Unanchored => (TrustTier::Contraindicated, UNANCHORED),
        Outcome::Inactive => {
            (TrustTier::Contraindicated, "IMA is off: it is not known which files ran since boot")
        }
        Outcome::Diverged => {
            let text = "the IMA log does not account for PCR 10: it was altered or cut, or it has an unsupported hash, \
                        such as SM3";
            (TrustTier::Contraindicated, text)
        }
    }
}

fn was_extended(evidence: &AppraisedEvidence<'_>) -> bool {
    let mut quoted = evidence.quote.pcrs().iter().filter(|(_, index, _)| *index == IMA_PCR);
    quoted.any(|(bank, _, value)| *value != TaggedDigest::filled(bank, 0))
}
