use std::collections::BTreeMap;

use crate::appraise::policy::{PcrSection, Policy, Weight};
use crate::appraise::{BootState, Reason, ReferenceValues, TrustTier, area_of_pcr};
use crate::tpm::{HashAlgorithm, PcrValues};

/// A PCR whose events are appraised.
pub(super) struct Judged<'p> {
    /// The weight of an unexplained event.
    pub(super) weight: Weight,
    /// Whether a lease names the PCR.
    pub(super) leased: bool,
    /// The policy's section for this PCR.
    pub(super) section: Option<&'p PcrSection>,
}

/// Returns the PCRs of a lease and those for which the policy has a section. `quoted` is the appraised bank.
///
/// # Errors
/// If software that was not appraised could use the lease.
pub(super) fn judged<'p>(
    policy: &'p Policy,
    reference: &ReferenceValues,
    quoted: HashAlgorithm,
) -> Result<BTreeMap<u8, Judged<'p>>, &'static str> {
    if reference.lease_selection.banks().any(|bank| bank != quoted) {
        return Err("a lease names PCRs of another bank than is quoted, by which events are judged");
    }
    if ![HashAlgorithm::Sha256, HashAlgorithm::Sha384].contains(&quoted) {
        return Err("neither the sha256 nor the sha384 bank is quoted, by which events are judged");
    }
    let leased = reference.lease_selection.iter();
    let mut judged: BTreeMap<u8, Judged<'p>> = leased
        .map(|(_, index)| (index, Judged { weight: Weight::Refuse, leased: true, section: None }))
        .collect();
    if judged.is_empty() {
        return Err("a lease names no PCR, so that any software could use it");
    }
    for (index, section) in &policy.pcr {
        let leased = judged.contains_key(&index.get());
        judged.insert(index.get(), Judged { weight: section.unexplained, leased, section: Some(section) });
    }
    Ok(judged)
}

/// Returns a reason for each rule about a PCR that is not appraised: such a rule has no effect, which its author
/// did not intend.
pub(super) fn idle_rules(policy: &Policy, pcrs: &BTreeMap<u8, Judged<'_>>) -> Vec<Reason> {
    let (keys, boot) = (&policy.secure_boot, &policy.boot);
    let rules = [
        ("secure-boot.platform-keys", 7, keys.platform_keys.is_empty()),
        ("secure-boot.key-exchange-keys", 7, keys.key_exchange_keys.is_empty()),
        ("secure-boot.allowed-signatures", 7, keys.allowed_signatures.is_empty()),
        ("secure-boot.forbidden-signatures", 7, keys.forbidden_signatures.is_empty()),
        ("secure-boot.signers", 7, keys.signers.is_empty()),
        ("secure-boot.machine-owner-keys", 14, keys.machine_owner_keys.is_empty()),
        ("firmware.contents", 0, policy.firmware.contents.is_empty()),
        ("boot.images", 4, boot.images.is_empty()),
        ("boot.unified-images", 4, boot.unified_images.is_empty()),
        ("boot.initrds", 9, boot.initrds.is_empty()),
        ("boot.loader-commands", 8, boot.loader_commands.is_empty()),
        ("boot.files", 9, boot.files.is_empty()),
    ];
    let idle = rules.into_iter().filter(|(_, pcr, empty)| !empty && !pcrs.contains_key(pcr));
    idle.map(|(rule, pcr, _)| {
        let text = format!("PCR {pcr} is not in the lease, so this is not judged: add a section [pcr.{pcr}]");
        Reason::new(rule, area_of_pcr(pcr), TrustTier::Contraindicated, text)
    })
    .collect()
}

/// Returns the accepted state that equals the lease's PCRs.
pub(super) fn accepted<'r>(reference: &'r ReferenceValues, quoted: &PcrValues) -> Option<&'r BootState> {
    let lease = &reference.lease_selection;
    quoted.select(lease).ok().filter(|leased| !leased.is_empty())?;
    reference.boot_states.iter().find(|state| state.differences(lease, quoted).is_empty())
}
