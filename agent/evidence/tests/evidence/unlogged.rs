//! Firmware that extends a PCR without logging it, tested with real boots and an event removed from their logs.

use std::collections::BTreeMap;
use std::sync::Arc;

use pawl_evidence::appraise::policy::{LearnError, Learnt, PcrIndex, PcrSection, Policy};
use pawl_evidence::appraise::{
    Area, AttestationResult, BootLogRule, BootState, ImaProgress, ReferenceValues, TrustTier, appraise,
};
use pawl_evidence::eventlog::{EventKind, EventLog};
use pawl_evidence::tpm::{HashAlgorithm, PcrSelection};

use crate::support::boot::Boot;
use crate::support::quoted::of_boot;

const BOOT: &str = "x86-good";

#[test]
fn without_a_policy_an_unlogged_firmware_pcr_is_a_warning_and_its_value_is_compared() {
    for pcr in [0, 5] {
        let appraisal = judge(&log_without(pcr), &by_value(BOOT));
        assert_eq!(appraisal.tier, TrustTier::Warning, "{appraisal:#?}");
        let text = worst(&appraisal);
        assert!(text.contains(&format!("does not explain PCR {pcr} ")), "{text}");
        assert!(text.contains("firmware of some models omits events, or the log was altered"), "{text}");
    }
    let other = judge(&log_without(0), &by_value("x86-secureboot-on"));
    assert_eq!(other.area(Area::Firmware), Some(TrustTier::Contraindicated));
    // No firmware omits a boot loader's events.
    for pcr in [4, 7, 9] {
        let appraisal = judge(&log_without(pcr), &by_value(BOOT));
        assert_eq!(appraisal.tier, TrustTier::Contraindicated, "PCR {pcr}");
        assert!(worst(&appraisal).contains(&format!("does not explain PCR {pcr} ")), "{appraisal:#?}");
    }
}

#[test]
fn a_policy_refuses_an_unlogged_pcr_until_it_names_its_value() {
    let policy = learn(&Boot::named(BOOT).event_log());
    assert!(policy.pcr.values().all(|section| section.unlogged.is_empty()));
    let appraisal = judge(&log_without(0), &under(&policy));
    assert_eq!(appraisal.tier, TrustTier::Contraindicated);
    assert!(worst(&appraisal).contains("firmware of some models omits events"), "{appraisal:#?}");

    let policy = learn(&log_without(0));
    let quoted = quoted(0);
    assert_eq!(
        policy,
        Policy { pcr: section(&format!("[pcr.0]\nunlogged = ['{quoted}']")), ..policy.clone() }
    );
    let appraisal = judge(&log_without(0), &under(&policy));
    assert_eq!(appraisal.tier, TrustTier::Affirming, "{appraisal:#?}");
    let named = appraisal.reasons.iter().find(|reason| reason.text.contains("pcr.0.unlogged")).unwrap();
    assert!(named.text.contains("firmware of this model is known to omit events"), "{named}");

    let other = format!("[pcr.0]\nunlogged = ['{}']", "ab".repeat(32));
    let appraisal = judge(&log_without(0), &under(&Policy { pcr: section(&other), ..policy }));
    assert_eq!(appraisal.tier, TrustTier::Contraindicated);
    let text = worst(&appraisal);
    let ending = "firmware of this model is known to omit events, or the log was altered";
    assert!(text.contains(&quoted) && text.ends_with(ending), "{text}");
}

#[test]
fn events_of_a_pcr_that_the_log_does_not_explain_are_ignored() {
    let mut policy = learn(&log_without(0));
    assert!(policy.firmware.accept_any_version && policy.firmware.versions.is_empty());
    policy.firmware.accept_any_version = false;
    let appraisal = judge(&log_without(0), &under(&policy));
    assert!(worst(&appraisal).contains("does not show the firmware's version"), "{appraisal:#?}");

    // The same for Secure Boot: a value of PCR 7 in the policy does not prove the log's events.
    let mut policy = learn(&Boot::named(BOOT).event_log());
    policy.secure_boot.required = true;
    policy.pcr = section(&format!("[pcr.7]\nunlogged = ['{}']", quoted(7)));
    let appraisal = judge(&log_without(7), &under(&policy));
    assert!(worst(&appraisal).contains("does not show whether Secure Boot is on"), "{appraisal:#?}");
}

#[test]
fn a_pcr_that_no_lease_names_may_be_left_unexplained() {
    let policy = learn(&Boot::named(BOOT).event_log());
    for (text, tier) in [
        ("", TrustTier::Contraindicated),
        ("[pcr.5]", TrustTier::Contraindicated),
        ("[pcr.5]\nunexplained = 'warn'", TrustTier::Warning),
        ("[pcr.5]\nunexplained = 'allow'", TrustTier::Affirming),
    ] {
        let policy = Policy { pcr: section(text), ..policy.clone() };
        assert_eq!(judge(&log_without(5), &under(&policy)).tier, tier, "{text}");
    }
    let leased = Policy { pcr: section("[pcr.0]\nunexplained = 'allow'"), ..policy };
    assert_eq!(judge(&log_without(0), &under(&leased)).tier, TrustTier::Contraindicated);

    let learnt = learn(&log_without(5));
    assert_eq!(learnt.pcr, section(&format!("[pcr.5]\nunlogged = ['{}']", quoted(5))));
    assert_eq!(judge(&log_without(5), &under(&learnt)).tier, TrustTier::Affirming);
}

#[test]
fn nothing_is_learnt_from_a_log_that_omits_a_boot_loaders_event() {
    for pcr in [4, 9] {
        let lease = PcrSelection::lease_default();
        let learnt = Learnt::from_boot(&log_without(pcr), None, Boot::named(BOOT).quote().pcrs(), &lease);
        assert_eq!(learnt, Err(LearnError::Pcr(pcr)));
    }
}

/// Returns the log without a PCR's first event that is neither a separator nor informational.
fn log_without(pcr: u8) -> Vec<u8> {
    let log = Boot::named(BOOT).event_log();
    let parsed = EventLog::parse(&log).unwrap();
    let events: Vec<_> = parsed.events().collect::<Result<_, _>>().unwrap();
    let is_it = |kind| kind != EventKind::SEPARATOR && kind != EventKind::NO_ACTION;
    let position = events.iter().position(|event| event.pcr == pcr && is_it(event.kind)).unwrap();
    let (start, end) = (events[position].offset, events[position + 1].offset);
    [&log[..start], &log[end..]].concat()
}

fn learn(log: &[u8]) -> Policy {
    Learnt::from_boot(log, None, Boot::named(BOOT).quote().pcrs(), &PcrSelection::lease_default())
        .unwrap()
        .policy
}

fn section(text: &str) -> BTreeMap<PcrIndex, PcrSection> {
    toml::from_str::<Policy>(text).unwrap().pcr
}

fn under(policy: &Policy) -> ReferenceValues {
    ReferenceValues { policy: Some(Arc::new(policy.clone())), boot_states: Vec::new(), ..by_value(BOOT) }
}

fn by_value(name: &str) -> ReferenceValues {
    let lease_selection = PcrSelection::lease_default();
    let pcrs = Boot::named(name).quote().pcrs().select(&lease_selection).unwrap();
    ReferenceValues {
        lease_selection,
        boot_states: vec![BootState { name: name.to_owned(), pcrs }],
        policy: None,
        boot_log: BootLogRule::Require,
        high_water: None,
    }
}

/// Appraises the boot's quote with this log. Omits the reasons about IMA.
fn judge(log: &[u8], reference: &ReferenceValues) -> AttestationResult {
    let quote = Boot::named(BOOT).quote();
    let (boot_log, ima) = (Some(log), ImaProgress::Absent);
    let appraisal = appraise(&of_boot(&quote, boot_log, ima), reference);
    let reasons = appraisal.reasons.into_iter();
    AttestationResult::new(reasons.filter(|reason| reason.area != Area::Runtime).collect())
}

fn worst(appraisal: &AttestationResult) -> &str {
    &appraisal.reasons[0].text
}

fn quoted(pcr: u8) -> String {
    Boot::named(BOOT).quoted_pcrs().get(HashAlgorithm::Sha256, pcr).unwrap().to_string()
}
