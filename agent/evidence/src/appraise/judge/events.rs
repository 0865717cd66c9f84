use std::collections::{BTreeMap, BTreeSet};

use pawl_proto::message::{Area, TrustTier};

use super::explain;
use super::explain::{Explainer, IMAGES_PCR};
use super::firmware::KEYS_PCR;
use crate::appraise::boot::{Boot, is_os_separator};
use crate::appraise::boot_log::{CUT, Unexplained, cause};
use crate::appraise::coverage;
use crate::appraise::coverage::BootCoverage;
use crate::appraise::evidence::{AppraisedEvidence, BootState, ReferenceValues};
use crate::appraise::policy::{PcrIndex, PcrSection, Policy, Weight};
use crate::appraise::reason::{Reason, Ruling, area_of_pcr};
use crate::eventlog::{EventFact, Stage};
use crate::measure_log::OS_SEPARATOR_PCRS;
use crate::tpm::{HashAlgorithm, PcrValues, TaggedDigest};

/// The rule's name for events that no rule covers.
const UNEXPLAINED: &str = "pcr.unexplained";
const ACCEPTED: &str = "boot-state.accepted";

/// Checks that a rule explains every event of the appraised PCRs, or that the whole boot is an accepted state.
pub(super) fn are_explained(
    policy: &Policy,
    boot: &Boot<'_>,
    evidence: &AppraisedEvidence<'_>,
    reference: &ReferenceValues,
) -> Vec<Reason> {
    let pcrs = match judged_pcrs(policy, reference, boot.bank()) {
        Ok(pcrs) => pcrs,
        Err(problem) => {
            return vec![Reason::new(UNEXPLAINED, Area::Boot, TrustTier::Contraindicated, problem)];
        }
    };
    let refuses = |pcr| pcrs.get(&pcr).is_some_and(|judged: &JudgedPcr<'_>| judged.weight == Weight::Refuse);
    let idle = idle_rules(policy, &pcrs);
    let explainer = Explainer::new(policy, boot, refuses(KEYS_PCR), refuses(IMAGES_PCR));
    let accepted = accepted_state(reference, evidence.quote.pcrs());
    let unaccepted: BTreeMap<_, _> =
        pcrs.iter().filter(|(_, judged)| accepted.is_none() || !judged.leased).collect();
    let is_cut = evidence.measure_log_cut;
    let mut reasons: Vec<Reason> = unaccepted
        .iter()
        .flat_map(|(pcr, judged)| refusals(policy, &explainer, (boot, is_cut), **pcr, judged))
        .collect();
    reasons.extend(idle);
    let coverage = BootCoverage::of_boot(boot);
    let pcrs_with = |is: fn(&JudgedPcr<'_>) -> bool| -> BTreeSet<u8> {
        pcrs.iter().filter(|(_, judged)| is(judged)).map(|(pcr, _)| *pcr).collect()
    };
    let unmeasured = match accepted {
        Some(_) => None,
        None => explain::command_line_is_measured(
            policy,
            &coverage,
            &pcrs_with(|judged| judged.weight != Weight::Allow),
        ),
    };
    let covering = match accepted {
        Some(_) => pcrs_with(|judged| judged.leased),
        None => pcrs_with(|judged| judged.leased && judged.weight == Weight::Refuse),
    };
    reasons.extend(unmeasured.or_else(|| coverage::is_left_open(&coverage, &covering)));
    if accepted.is_none() {
        reasons.extend(explain::sections_are_allowed(policy, boot));
    }
    let not_affirmed: BTreeSet<Area> = reasons.iter().map(|reason| reason.area).collect();
    reasons.extend(affirm(&pcrs, accepted).filter(|reason| !not_affirmed.contains(&reason.area)));
    reasons
}

/// Returns a reason for each event of one PCR that no rule explains, or for a PCR that cannot be appraised.
fn refusals(
    policy: &Policy,
    explainer: &Explainer<'_>,
    (boot, is_cut): (&Boot<'_>, bool),
    pcr: u8,
    judged: &JudgedPcr<'_>,
) -> Vec<Reason> {
    let Some(tier) = judged.weight.tier() else { return Vec::new() };
    let area = area_of_pcr(pcr);
    let refuse = |rule, text| Reason::new(rule, area, tier, text);
    let Some(value) = boot.quoted(pcr) else {
        return vec![refuse(UNEXPLAINED, format!("PCR {pcr} is missing from the quote"))];
    };
    if judged.section.is_some_and(|section| section.allows(value)) {
        return Vec::new();
    }
    if !boot.accounts_for(pcr) {
        let text = match is_cut {
            true => format!("PCR {pcr} has the value {value}, which {CUT}"),
            false => {
                format!("PCR {pcr} has the value {value}, which the boot event log does not explain")
            }
        };
        return vec![refuse(UNEXPLAINED, text)];
    }
    let separators =
        os_separator_rulings(policy, boot, pcr).into_iter().map(|(line, ruling)| (line, None, ruling));
    let events = boot.events().iter().filter(|event| event.pcr == pcr).map(|event| {
        let line = (event.stage != Stage::UserSpace).then_some(event.number);
        (line, Some(event), explainer.explain(event))
    });
    separators
        .chain(events)
        .filter_map(|(line, event, ruling)| {
            let reason = match ruling {
                Ruling::Explained => return None,
                Ruling::Refused { rule, text } => refuse(rule, text),
                Ruling::Unexplained => refuse(UNEXPLAINED, unexplained(pcr, event?)),
            };
            Some(line.into_iter().fold(reason, Reason::at))
        })
        .collect()
}

fn unexplained(pcr: u8, event: &EventFact<'_>) -> String {
    let digest = event.digest.map(|digest| format!("{} {digest}, ", digest.algorithm())).unwrap_or_default();
    let place = match event.stage {
        Stage::UserSpace => format!(" ({})", event.place()),
        Stage::Firmware | Stage::Loader => String::new(),
    };
    format!("no rule explains this in PCR {pcr}: {digest}{}{place}", event.fact)
}

/// Returns one affirming reason for each area with an appraised PCR.
fn affirm<'a>(
    pcrs: &'a BTreeMap<u8, JudgedPcr<'_>>,
    accepted: Option<&'a BootState>,
) -> impl Iterator<Item = Reason> + 'a {
    let mut areas: BTreeMap<Area, Vec<String>> = BTreeMap::new();
    for (pcr, _) in pcrs.iter().filter(|(_, judged)| judged.weight != Weight::Allow) {
        areas.entry(area_of_pcr(*pcr)).or_default().push(pcr.to_string());
    }
    areas.into_iter().map(move |(area, pcrs)| {
        let (rule, text) = match accepted {
            Some(state) => (ACCEPTED, format!("the boot state is \"{}\", which was accepted", state.name)),
            None => (UNEXPLAINED, format!("every event of PCR {} is explained", pcrs.join(", "))),
        };
        Reason::new(rule, area, TrustTier::Affirming, text)
    })
}

/// A PCR whose events are appraised.
pub(super) struct JudgedPcr<'p> {
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
/// If the lease has no PCRs, or PCRs of another bank than the quoted one, or the quoted bank is neither SHA-256 nor
/// SHA-384. Software that was not appraised could use such a lease.
pub(super) fn judged_pcrs<'p>(
    policy: &'p Policy,
    reference: &ReferenceValues,
    quoted: HashAlgorithm,
) -> Result<BTreeMap<u8, JudgedPcr<'p>>, &'static str> {
    if reference.lease_selection.banks().any(|bank| bank != quoted) {
        return Err("the lease names PCRs of another bank than the quoted one");
    }
    if ![HashAlgorithm::Sha256, HashAlgorithm::Sha384].contains(&quoted) {
        return Err(
            "the device quoted neither the sha256 nor the sha384 bank, and no other bank can be appraised",
        );
    }
    let leased = reference.lease_selection.iter();
    let mut judged: BTreeMap<u8, JudgedPcr<'p>> = leased
        .map(|(_, index)| (index, JudgedPcr { weight: Weight::Refuse, leased: true, section: None }))
        .collect();
    if judged.is_empty() {
        return Err("the lease names no PCR, so any software could use it");
    }
    for (index, section) in &policy.pcr {
        let leased = judged.contains_key(&index.get());
        judged.insert(index.get(), JudgedPcr { weight: section.unexplained, leased, section: Some(section) });
    }
    Ok(judged)
}

/// Returns a reason for each rule about a PCR that is not appraised: the rule would have no effect, contrary to its
/// author's intention.
pub(super) fn idle_rules(policy: &Policy, pcrs: &BTreeMap<u8, JudgedPcr<'_>>) -> Vec<Reason> {
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
        let text =
            format!("PCR {pcr} is not in the lease, so this rule has no effect: add a section [pcr.{pcr}]");
        Reason::new(rule, area_of_pcr(pcr), TrustTier::Contraindicated, text)
    })
    .collect()
}

/// Returns the accepted state that equals the lease's PCRs.
pub(super) fn accepted_state<'r>(
    reference: &'r ReferenceValues,
    quoted: &PcrValues,
) -> Option<&'r BootState> {
    let lease = &reference.lease_selection;
    quoted.select(lease).ok().filter(|leased| !leased.is_empty())?;
    reference.boot_states.iter().find(|state| state.differences(lease, quoted).is_empty())
}

const OS_SEPARATOR_RULE: &str = "boot.require-os-separator";

/// Checks systemd's os-separator in a PCR. systemd extends it once into each of its PCRs before it starts anything
/// else. Events after it that the log attributes to firmware or boot loader come from the running system, which could
/// forge them.
pub(super) fn os_separator_rulings(
    policy: &Policy,
    boot: &Boot<'_>,
    pcr: u8,
) -> Vec<(Option<usize>, Ruling)> {
    if !OS_SEPARATOR_PCRS.contains(&pcr) {
        return Vec::new();
    }
    let firmware = boot.events().iter().filter(|event| event.pcr == pcr && event.stage != Stage::UserSpace);
    let mut rulings: Vec<(Option<usize>, Ruling)> = firmware
        .filter(|event| is_os_separator(event))
        .map(|event| {
            let text = format!(
                "the boot event log has an os-separator in PCR {pcr}, which only the running system extends: \
                 later events of this PCR are not from firmware or boot loader"
            );
            (Some(event.number), Ruling::refused(OS_SEPARATOR_RULE, text))
        })
        .collect();
    let required = policy.boot.require_os_separator || !boot.separated().is_empty();
    let text = match boot.os_separators(pcr) {
        1 => None,
        0 if required => Some(format!(
            "PCR {pcr} has no os-separator: measurements of the boot loader cannot be distinguished from later ones"
        )),
        0 => None,
        count => Some(format!("PCR {pcr} has {count} os-separators, but systemd extends only one")),
    };
    rulings.extend(text.map(|text| (None, Ruling::refused(OS_SEPARATOR_RULE, text))));
    rulings
}

/// Returns the weight of a PCR that the boot event log does not explain. The events of that PCR are ignored in
/// any case.
pub(super) fn weigh_unlogged(
    policy: &Policy,
    reference: &ReferenceValues,
    pcr: u8,
    value: &TaggedDigest,
) -> Unexplained {
    let section = PcrIndex::new(pcr).and_then(|index| policy.pcr.get(&index));
    let refused = (TrustTier::Contraindicated, cause(pcr).to_owned());
    let Some(section) = section else { return refused };
    if section.unlogged.contains(value) {
        let why =
            format!(", whose value is in pcr.{pcr}.unlogged: firmware of this model is known to omit events");
        return (TrustTier::Affirming, why);
    }
    if !section.unlogged.is_empty() {
        let why = format!(
            ", and its value {value} is not in pcr.{pcr}.unlogged: firmware of this model is known to omit events, \
             or the log was altered"
        );
        return (TrustTier::Contraindicated, why);
    }
    let leased = reference.lease_selection.iter().any(|(_, index)| index == pcr);
    match section.unexplained {
        Weight::Refuse => refused,
        _ if leased => refused,
        Weight::Warn => (TrustTier::Warning, cause(pcr).to_owned()),
        Weight::Allow => (TrustTier::Affirming, format!(", and pcr.{pcr}.unexplained allows that")),
    }
}
