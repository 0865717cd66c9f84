//! Policies and exact states, tested with boots that have a log of systemd.

use std::collections::BTreeSet;
use std::sync::Arc;

use pawl_evidence::appraise::policy::{Learnt, Policy};
use pawl_evidence::appraise::{
    AppraisedEvidence, Area, AttestationResult, BootLogRule, BootState, ImaProgress, NvPcrs, ReferenceValues,
    TrustTier, appraise, before_user_space,
};
use pawl_evidence::attest::VerifiedQuote;
use pawl_evidence::eventlog::{EventKind, EventLog};
use pawl_evidence::ima::{Aggregate, BinaryLog, Findings, IMA_PCR, RuleSet, Rules};
use pawl_evidence::measure_log::{MeasureLog, OS_SEPARATOR_PCRS, os_separator};
use pawl_evidence::tpm::{HashAlgorithm, PcrSelection, PcrValues, TaggedDigest};

use crate::support::boot::{Boot, from_hex};
use crate::support::quoted;

#[test]
fn a_policy_learnt_from_a_boot_with_systemds_log_affirms_it() {
    for boot in Boot::with_measure_log() {
        if boot.name == "forky-more-events" {
            continue; // PCR 8 was extended without a log entry, and the lease names it.
        }
        let appraisal = judge(&learn(&boot.name), &boot.name);
        assert_eq!(refusals(&appraisal), [], "{}: {appraisal:#?}", boot.name);
        for area in [Area::Hardware, Area::Firmware, Area::Boot, Area::Freshness] {
            assert_eq!(appraisal.area(area), Some(TrustTier::Affirming), "{}: {area}", boot.name);
        }
    }
}

#[test]
fn a_policy_learnt_from_one_machine_affirms_another_and_refuses_changed_boots() {
    let cases: [(&str, &str, &[&str]); 7] = [
        ("forky-good", "forky-good-2nd-boot", &[]),
        // The boot secret, UUID and serial number differ.
        ("forky-good", "forky-other-machine", &[]),
        ("forky-other-machine", "forky-good", &[]),
        ("forky-good", "forky-soft-reboot", &[]),
        (
            "forky-good",
            "forky-cmdline-changed",
            &["boot.command-lines", "boot.images", "boot.initrds", "boot.sections"],
        ),
        // This boot has systemd-boot, and a credential next to the image.
        ("forky-good", "forky-old-anchor", &["boot.files", "boot.images", "boot.initrds"]),
        (
            "trixie-good",
            "forky-good",
            &["boot.images", "boot.initrds", "firmware.contents", "firmware.versions", "pcr.unexplained"],
        ),
    ];
    for (learnt, judged, rules) in cases {
        let appraisal = judge(&learn(learnt), judged);
        let rules: BTreeSet<_> = rules.iter().copied().collect();
        assert_eq!(rules_of(&appraisal), rules, "{learnt} -> {judged}: {appraisal:#?}");
    }
}

#[test]
fn learning_writes_no_value_of_one_machine_into_the_policy() {
    let wide =
        PcrSelection::new(HashAlgorithm::Sha256, [0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 14, 15]).unwrap();
    let learn = |name: &str| {
        let boot = Boot::named(name);
        let (log, measured) = (boot.event_log(), boot.measure_log());
        Learnt::from_boot(&log, Some(&measured), boot.quote().pcrs(), &wide).unwrap().policy
    };
    let (one, other) = (learn("forky-good"), learn("forky-other-machine"));
    assert!(one == other, "{one:#?}\n{other:#?}");
    assert!(one.boot.initrds.is_empty() && one.boot.accept_machine_identity && one.boot.require_os_separator);
    assert_eq!((one.boot.unified_images.len(), one.boot.sections.len()), (1, 7));
    let reference = |policy: &Policy| ReferenceValues { lease_selection: wide.clone(), ..reference(policy) };
    for name in ["forky-good", "forky-other-machine"] {
        assert_eq!(refusals(&judge_with(name, reference(&one))), [], "{name}");
    }
    let mut strict = one;
    strict.boot.accept_machine_identity = false;
    let refused = judge_with("forky-good", reference(&strict));
    let refused = refusals(&refused);
    assert_eq!(
        refused,
        [("firmware.contents", Some(14)), ("pcr.unexplained", Some(50)), ("pcr.unexplained", None)]
    );
}

#[test]
fn an_image_vouches_for_its_initrd_only_if_it_is_named_appraised_and_last() {
    let learnt = learn("forky-good");
    let mut policy = learnt.clone();
    policy.boot.images.extend(std::mem::take(&mut policy.boot.unified_images).iter().cloned());
    assert_eq!(rules_of(&judge(&policy, "forky-good")), ["boot.initrds"].into());

    policy = learnt.clone();
    policy.pcr.extend(toml::from_str::<Policy>("[pcr.4]\nunexplained = 'warn'").unwrap().pcr);
    assert_eq!(rules_of(&judge(&policy, "forky-good")), ["boot.initrds"].into());

    // If the stub has the firmware load the kernel, the kernel is the last image instead of the unified one.
    let mut old = learn("trixie-good");
    assert!(old.boot.unified_images.is_empty() && !old.boot.initrds.is_empty());
    old.boot.unified_images.clone_from(&old.boot.images);
    old.boot.initrds.clear();
    assert_eq!(rules_of(&judge(&old, "trixie-good")), ["boot.initrds"].into());

    // The policy must also explain the stub's additions to the initrd.
    let mut anchored = learn("forky-old-anchor");
    assert!(anchored.boot.initrds.is_empty());
    anchored.boot.files.clear();
    assert_eq!(rules_of(&judge(&anchored, "forky-old-anchor")), ["boot.files", "boot.initrds"].into());
}

#[test]
fn exact_states_are_compared_for_boots_with_systemds_log() {
    for (name, tier) in [
        ("forky-good-2nd-boot", TrustTier::Affirming),
        ("forky-cmdline-changed", TrustTier::Contraindicated),
        ("forky-other-machine", TrustTier::Contraindicated),
    ] {
        let quote = Boot::named("forky-good").quote();
        let pcrs = quote.pcrs().select(&PcrSelection::lease_default()).unwrap();
        let reference = ReferenceValues {
            policy: None,
            boot_states: vec![BootState { name: "good".to_owned(), pcrs }],
            ..reference(&Policy::default())
        };
        let appraisal = judge_with(name, reference);
        assert_eq!(appraisal.tier, tier, "{name}: {appraisal:#?}");
        assert!(
            appraisal
                .reasons
                .iter()
                .all(|reason| reason.rule != "boot-log.replay" || reason.tier == TrustTier::Affirming),
            "{appraisal:#?}"
        );
    }
}

#[test]
fn without_systemds_log_the_pcrs_that_only_it_explains_are_refused() {
    let boot = Boot::named("forky-good");
    let appraisal = judge_logs(&learn("forky-good"), &boot.quote(), &boot.event_log(), None);
    let texts: Vec<_> =
        appraisal.reasons.iter().filter(|reason| reason.tier == TrustTier::Contraindicated).collect();
    assert_eq!(texts.len(), 1, "only PCR 9 has more than an os-separator: {texts:#?}");
    assert!(texts[0].text.contains("PCR 9"), "{texts:#?}");
}

#[test]
fn an_os_separator_is_recognized_without_a_log() {
    let text = include_str!("../../../../tests/fixtures/os-separator.pcrs-sha256.json");
    let listed: std::collections::BTreeMap<String, String> = serde_json::from_str(text).unwrap();
    let mut pcrs = PcrValues::default();
    for (index, value) in listed {
        let value = TaggedDigest::new(HashAlgorithm::Sha256, &from_hex(&value)).unwrap();
        pcrs.insert(index.parse().unwrap(), value).unwrap();
    }
    let log = Boot::named("x86-good").event_log();
    let quote = quoted::quote(&pcrs);
    let policy = Learnt::from_boot(&log, None, quote.pcrs(), &PcrSelection::lease_default()).unwrap().policy;
    assert!(policy.boot.require_os_separator);
    let appraisal = judge_logs(&policy, &quote, &log, None);
    assert_eq!(appraisal.tier, TrustTier::Affirming, "{appraisal:#?}");
    // A boot without the separator is refused.
    let without = Boot::named("x86-good").quote();
    assert_eq!(rules_of(&judge_logs(&policy, &without, &log, None)), ["boot.require-os-separator"].into());
}

#[test]
fn a_second_and_a_missing_os_separator_are_refused() {
    let policy = learn("forky-good");
    let record = |pcr: u8| {
        let digest = os_separator(HashAlgorithm::Sha256);
        format!(
            "\x1e{{\"pcr\":{pcr},\"digests\":[{{\"hashAlg\":\"sha256\",\"digest\":\"{digest}\"}}],\"content\":{{\"string\":\"os-separator\"}}}}\n"
        )
    };
    let good = Boot::named("forky-good").measure_log();
    let second = [&good[..], record(12).as_bytes()].concat();
    let appraisal = judge_made_up(&policy, &Boot::named("forky-good").event_log(), &second);
    assert_eq!(rules_of(&appraisal), ["boot.require-os-separator"].into(), "{appraisal:#?}");

    let mut records: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
    records.retain(|record| !record.starts_with(b"\x1e{\"pcr\":7,"));
    let mut lenient = policy.clone();
    lenient.boot.require_os_separator = false;
    for policy in [&policy, &lenient] {
        let appraisal = judge_made_up(policy, &Boot::named("forky-good").event_log(), &records.concat());
        assert_eq!(rules_of(&appraisal), ["boot.require-os-separator"].into(), "{appraisal:#?}");
    }
}

/// Root extends PCR 4 with the digest of an allowed image, and writes a log in which the firmware did so.
#[test]
fn events_of_the_firmware_behind_an_os_separator_are_refused() {
    let policy = learn("forky-good");
    let boot = Boot::named("forky-good");
    let log = boot.event_log();
    let events: Vec<_> =
        EventLog::parse(&log).unwrap().events().map(|event| event.unwrap().digests).collect();
    let separators: Vec<TaggedDigest> =
        [HashAlgorithm::Sha1, HashAlgorithm::Sha256, HashAlgorithm::Sha384].map(os_separator).to_vec();
    let image = EventLog::parse(&log)
        .unwrap()
        .events()
        .position(|event| event.unwrap().kind == EventKind::EFI_BOOT_SERVICES_APPLICATION);
    let image = &events[image.unwrap()];
    let mut forged = log.clone();
    for digests in [&separators, image] {
        forged.extend(event(4, EventKind::EFI_BOOT_SERVICES_APPLICATION, digests, b"a path"));
    }
    let without: Vec<u8> = boot
        .measure_log()
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|record| !record.starts_with(b"\x1e{\"pcr\":4,"))
        .flatten()
        .copied()
        .collect();
    let appraisal = judge_made_up(&policy, &forged, &without);
    assert!(rules_of(&appraisal).contains("boot.require-os-separator"), "{appraisal:#?}");
    let text = appraisal.reasons.iter().find(|reason| reason.rule == "boot.require-os-separator").unwrap();
    assert!(text.event.is_some() && text.text.contains("PCR 4"), "{text:?}");
}

#[test]
fn a_malformed_log_of_systemd_is_refused() {
    let boot = Boot::named("forky-good");
    let appraisal = judge_logs(&learn("forky-good"), &boot.quote(), &boot.event_log(), Some(b"{}"));
    assert!(rules_of(&appraisal).contains("boot-log.user-space"), "{appraisal:#?}");
}

#[test]
fn imas_boot_aggregate_is_over_the_pcrs_before_the_os_separator() {
    for (name, offending) in [("forky-good", false), ("trixie-good", false)] {
        let boot = Boot::named(name);
        let (log, measured, quote) = (boot.event_log(), boot.measure_log(), boot.quote());
        let before = before_user_space(Some(&log), Some(&measured), quote.pcrs());
        let ima = boot.read("ima_after_quote.bin");
        let rules = Rules::new(RuleSet::default());
        let mut findings = Findings::new(&rules);
        findings.observe(&rules, BinaryLog::new(&ima).take(1), &before);
        assert_eq!((findings.entries, findings.offending), (1, u64::from(offending)), "{name}: {findings:?}");
    }
    let boot = Boot::named("forky-good");
    let ima = boot.read("ima_after_quote.bin");
    let quoted = *boot.quoted_pcrs().get(HashAlgorithm::Sha256, IMA_PCR).unwrap();
    Aggregate::new(HashAlgorithm::Sha256).advance(BinaryLog::new(&ima), &quoted).unwrap();
    let rules = Rules::new(RuleSet::default());
    let mut findings = Findings::new(&rules);
    findings.observe(&rules, BinaryLog::new(&ima).take(1), boot.quote().pcrs());
    assert_eq!(findings.offending, 1, "the quoted PCRs 0 to 7 and 9 include the os-separator");
}

#[test]
fn the_smbios_table_of_a_machine_needs_no_digest_if_identities_are_accepted() {
    let lease_selection = PcrSelection::new(HashAlgorithm::Sha256, [0, 1, 4, 9, 12]).unwrap();
    let boot = Boot::named("forky-good");
    let (log, measured, quote) = (boot.event_log(), boot.measure_log(), boot.quote());
    let mut policy = Learnt::from_boot(&log, Some(&measured), quote.pcrs(), &lease_selection).unwrap().policy;
    let judge = |policy: &Policy| {
        judge_with(
            "forky-good",
            ReferenceValues { lease_selection: lease_selection.clone(), ..reference(policy) },
        )
    };
    policy.boot.accept_machine_identity = false;
    assert_eq!(refusals(&judge(&policy)), [("firmware.contents", Some(14)), ("pcr.unexplained", Some(50))]);
    policy.boot.accept_machine_identity = true;
    assert_eq!(refusals(&judge(&policy)), []);
}

#[test]
fn boot_phases_in_a_log_need_no_rule_and_other_words_do() {
    let mut policy = learn("forky-good");
    policy.pcr.extend(toml::from_str::<Policy>("[pcr.11]").unwrap().pcr);
    assert_eq!(refusals(&judge(&policy, "forky-soft-reboot")), []);
    let digest = HashAlgorithm::Sha256.digest(&[b"a word"]);
    let word = format!(
        "\x1e{{\"pcr\":11,\"digests\":[{{\"hashAlg\":\"sha256\",\"digest\":\"{digest}\"}}],\
         \"content\":{{\"string\":\"a word\",\"eventType\":\"phase\"}}}}\n"
    );
    let boot = Boot::named("forky-good");
    let log = [boot.measure_log(), word.into_bytes()].concat();
    let appraisal = judge_made_up(&policy, &boot.event_log(), &log);
    assert_eq!(refusals(&appraisal), [("pcr.unexplained", None)]);
    assert!(appraisal.reasons[0].text.contains("\"a word\" from user space (record 24"), "{appraisal:#?}");
}

fn learn(name: &str) -> Policy {
    let boot = Boot::named(name);
    let (log, measured) = (boot.event_log(), boot.measure_log());
    let lease = PcrSelection::lease_default();
    Learnt::from_boot(&log, Some(&measured), boot.quote().pcrs(), &lease).unwrap().policy
}

fn reference(policy: &Policy) -> ReferenceValues {
    ReferenceValues {
        lease_selection: PcrSelection::lease_default(),
        policy: Some(Arc::new(policy.clone())),
        boot_states: Vec::new(),
        boot_log: BootLogRule::Require,
        high_water: None,
    }
}

fn judge(policy: &Policy, name: &str) -> AttestationResult {
    judge_with(name, reference(policy))
}

fn judge_with(name: &str, reference: ReferenceValues) -> AttestationResult {
    let boot = Boot::named(name);
    appraise_logs(&reference, &boot.quote(), &boot.event_log(), Some(&boot.measure_log()))
}

fn judge_logs(
    policy: &Policy,
    quote: &VerifiedQuote,
    log: &[u8],
    measured: Option<&[u8]>,
) -> AttestationResult {
    appraise_logs(&reference(policy), quote, log, measured)
}

/// Appraises a TPM with the PCR values of these logs; the other PCRs are those of forky-good.
fn judge_made_up(policy: &Policy, log: &[u8], measured: &[u8]) -> AttestationResult {
    let firmware = EventLog::parse(log).unwrap().replay().unwrap();
    let replayed = MeasureLog::parse(measured).unwrap().replay(&firmware);
    let mut pcrs = Boot::named("forky-good").quoted_pcrs();
    for index in OS_SEPARATOR_PCRS.into_iter().chain([11]) {
        pcrs.insert(index, *replayed.get(HashAlgorithm::Sha256, index).unwrap()).unwrap();
    }
    judge_logs(policy, &quoted::quote(&pcrs), log, Some(measured))
}

fn appraise_logs(
    reference: &ReferenceValues,
    quote: &VerifiedQuote,
    log: &[u8],
    measure_log: Option<&[u8]>,
) -> AttestationResult {
    let boot_log = Some(log);
    let evidence = AppraisedEvidence {
        quote,
        epoch: 1,
        age_s: 10,
        boot_log,
        measure_log,
        measure_log_cut: false,
        nvpcrs: NvPcrs::NotAsked,
        ima: ImaProgress::Absent,
    };
    let mut appraisal = appraise(&evidence, reference);
    // Other tests cover the IMA log.
    appraisal.reasons.retain(|reason| reason.area != Area::Runtime);
    AttestationResult::new(appraisal.reasons)
}

fn event(pcr: u32, kind: EventKind, digests: &[TaggedDigest], data: &[u8]) -> Vec<u8> {
    let number = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
    let mut bytes = [pcr.to_le_bytes(), kind.0.to_le_bytes(), number(digests.len())].concat();
    for digest in digests {
        bytes.extend(digest.algorithm().id().to_le_bytes());
        bytes.extend(digest.as_bytes());
    }
    [&bytes[..], &number(data.len()), data].concat()
}

fn refusals(appraisal: &AttestationResult) -> Vec<(&'static str, Option<usize>)> {
    let refusals = appraisal.reasons.iter().filter(|reason| reason.tier == TrustTier::Contraindicated);
    refusals.map(|reason| (reason.rule, reason.event)).collect()
}

fn rules_of(appraisal: &AttestationResult) -> BTreeSet<&'static str> {
    refusals(appraisal).into_iter().map(|(rule, _)| rule).collect()
}
