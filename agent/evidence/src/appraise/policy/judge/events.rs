use std::collections::{BTreeMap, BTreeSet};

use super::explain::{Explainer, Ruling};
use super::pcrs::{Judged, accepted, idle_rules, judged};
use super::secure_boot::KEYS_PCR;
use super::unified::{self, IMAGES_PCR};
use super::{command_line, os_separator};
use crate::appraise::policy::boot::Boot;
use crate::appraise::policy::{Policy, Weight};
use crate::appraise::rules::{boot_coverage, boot_log::CUT};
use crate::appraise::{
    Area, BootCoverage, BootState, Evidence, Reason, ReferenceValues, TrustTier, area_of_pcr,
};
use crate::eventlog::{EventFact, Stage};

/// The rule's name for events that no rule covers.
const UNEXPLAINED: &str = "pcr.unexplained";
const ACCEPTED: &str = "boot-state.accepted";

/// Checks that a rule explains every event of the appraised PCRs, or that the whole boot is an accepted state.
pub(super) fn are_explained(
    policy: &Policy,
    boot: &Boot<'_>,
    evidence: &Evidence<'_>,
    reference: &ReferenceValues,
) -> Vec<Reason> {
    let pcrs = match judged(policy, reference, boot.bank()) {
        Ok(pcrs) => pcrs,
        Err(problem) => {
            return vec![Reason::new(UNEXPLAINED, Area::Boot, TrustTier::Contraindicated, problem)];
        }
    };
    let refuses = |pcr| pcrs.get(&pcr).is_some_and(|judged: &Judged<'_>| judged.weight == Weight::Refuse);
    let idle = idle_rules(policy, &pcrs);
    let explainer = Explainer::new(policy, boot, refuses(KEYS_PCR), refuses(IMAGES_PCR));
    let accepted = accepted(reference, evidence.quote.pcrs());
    let left: BTreeMap<_, _> =
        pcrs.iter().filter(|(_, judged)| accepted.is_none() || !judged.leased).collect();
    let is_cut = evidence.measure_log_cut;
    let mut reasons: Vec<Reason> = left
        .iter()
        .flat_map(|(pcr, judged)| refusals(policy, &explainer, (boot, is_cut), **pcr, judged))
        .collect();
    reasons.extend(idle);
    let coverage = BootCoverage::of_boot(boot);
    let those = |is: fn(&Judged<'_>) -> bool| -> BTreeSet<u8> {
        pcrs.iter().filter(|(_, judged)| is(judged)).map(|(pcr, _)| *pcr).collect()
    };
    let unmeasured = match accepted {
        Some(_) => None,
        None => command_line::is_measured(policy, &coverage, &those(|judged| judged.weight != Weight::Allow)),
    };
    let covering = match accepted {
        Some(_) => those(|judged| judged.leased),
        None => those(|judged| judged.leased && judged.weight == Weight::Refuse),
    };
    reasons.extend(unmeasured.or_else(|| boot_coverage::is_left_open(&coverage, &covering)));
    if accepted.is_none() {
        reasons.extend(unified::sections_are_allowed(policy, boot));
    }
    let doubtful: BTreeSet<Area> = reasons.iter().map(|reason| reason.area).collect();
    reasons.extend(affirm(&pcrs, accepted).filter(|reason| !doubtful.contains(&reason.area)));
    reasons
}

/// Returns the unexplained events of one PCR.
fn refusals(
    policy: &Policy,
    explainer: &Explainer<'_>,
    (boot, is_cut): (&Boot<'_>, bool),
    pcr: u8,
    judged: &Judged<'_>,
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
                format!("PCR {pcr} has the value {value}, for which the boot event log does not account")
            }
        };
        return vec![refuse(UNEXPLAINED, text)];
    }
    let separators =
        os_separator::rulings(policy, boot, pcr).into_iter().map(|(line, ruling)| (line, None, ruling));
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
    pcrs: &'a BTreeMap<u8, Judged<'_>>,
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
