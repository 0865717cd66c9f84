//! Policies, tested with real boots: which rules refuse a changed boot.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pawl_evidence::appraise::policy::{Allowed, AllowedList, CommandLinePattern, LearnError, Learnt, Policy};
use pawl_evidence::appraise::{
    AppraisedEvidence, Area, AttestationResult, BootLogRule, BootState, ImaProgress, NvPcrs, ReferenceValues,
    TrustTier, appraise,
};
use pawl_evidence::eventlog::{EventKind, LOG_MAX_LEN};
use pawl_evidence::tpm::{HashAlgorithm, PcrSelection, TaggedDigest};

use crate::support::boot::Boot;
use crate::support::log::{LogWriter, utf16};
use crate::support::quoted::{of_boot, quote_of};

#[test]
fn a_policy_learnt_from_a_boot_affirms_it() {
    for boot in Boot::all() {
        let appraisal = judge(&learn(&boot.name), &boot.name);
        assert_eq!(refusals(&appraisal), [], "{}", boot.name);
        for area in [Area::Hardware, Area::Firmware, Area::Boot, Area::Freshness] {
            assert_eq!(appraisal.area(area), Some(TrustTier::Affirming), "{}: {area}", boot.name);
        }
    }
}

#[test]
fn each_changed_boot_is_refused_by_the_expected_rules() {
    let unified = ["boot.command-lines", "boot.images"];
    let cases: [(&str, &str, &[&str]); 9] = [
        ("x86-good", "x86-good-2nd-boot", &[]),
        ("x86-good", "x86-cmdline-changed", &unified),
        ("x86-good", "x86-initrd-changed", &["boot.images", "boot.initrds"]),
        (
            "x86-good",
            "x86-secureboot-on",
            &[
                "boot.images",
                "firmware.contents",
                "secure-boot.allowed-signatures",
                "secure-boot.forbidden-signatures",
                "secure-boot.key-exchange-keys",
                "secure-boot.platform-keys",
                "secure-boot.signers",
            ],
        ),
        (
            "x86-secureboot-on",
            "x86-good",
            // The learnt policy allows the initrd only as part of an image that starts the kernel itself. In x86-good
            // the firmware loads the kernel.
            &[
                "boot.images",
                "boot.initrds",
                "firmware.contents",
                "secure-boot.forbidden-signatures",
                "secure-boot.required",
            ],
        ),
        ("arm64-good", "arm64-cmdline-changed", &unified),
        ("arm64-good", "arm64-tis-in-initrd", &["boot.images", "boot.initrds"]),
        ("arm64-good", "armhf-on-arm64-kernel", &["boot.images", "boot.initrds"]),
        ("arm64-cmdline-changed", "arm64-good", &unified),
    ];
    for (learnt, judged, rules) in cases {
        let appraisal = judge(&learn(learnt), judged);
        assert_eq!(
            rules_of(&appraisal),
            rules.iter().copied().collect(),
            "{learnt} -> {judged}: {appraisal:#?}"
        );
    }
}

#[test]
fn a_refusal_names_the_line_of_the_log() {
    let appraisal = judge(&learn("x86-good"), "x86-cmdline-changed");
    let lines: Vec<_> = refusals(&appraisal);
    // The unified kernel image, and the command line that its stub passed to the kernel.
    assert!(lines.contains(&("boot.images", Some(29))), "{lines:?}");
    assert!(lines.contains(&("boot.command-lines", Some(39))), "{lines:?}");
}

#[test]
fn an_empty_policy_refuses_every_boot() {
    let empty = toml::from_str::<Policy>("").unwrap();
    assert_eq!(empty, Policy::default());
    for boot in Boot::all() {
        let rules = rules_of(&judge(&empty, &boot.name));
        for rule in ["boot.images", "firmware.contents", "firmware.versions"] {
            assert!(rules.contains(rule), "{}: {rules:?}", boot.name);
        }
    }
}

#[test]
fn signed_images_are_accepted_only_under_secure_boot_and_by_the_named_signers() {
    let mut policy = learn("x86-shim-grub-ms");
    policy.boot.images.clear();
    assert_eq!(rules_of(&judge(&policy, "x86-shim-grub-ms")), ["boot.images"].into());
    policy.boot.accept_signed_images = true;
    assert_eq!(rules_of(&judge(&policy, "x86-shim-grub-ms")), BTreeSet::new());

    // Without PCR 7 a log could hide the signer of an image.
    let lease_selection = PcrSelection::new(HashAlgorithm::Sha256, [0, 4]).unwrap();
    let without = Policy { pcr: Default::default(), ..policy.clone() };
    let reference = ReferenceValues { lease_selection, ..reference(&without) };
    let rules = rules_of(&judge_with("x86-shim-grub-ms", reference));
    assert!(rules.contains("boot.images") && rules.contains("secure-boot.signers"), "{rules:?}");

    policy.secure_boot.signers.pop();
    let rules = rules_of(&judge(&policy, "x86-shim-grub-ms"));
    assert_eq!(rules, ["boot.images", "secure-boot.signers"].into());

    let mut unsigned = learn("x86-good");
    unsigned.boot.images.clear();
    unsigned.boot.accept_signed_images = true;
    assert_eq!(rules_of(&judge(&unsigned, "x86-good")), ["boot.images"].into());
}

#[test]
fn a_signed_image_still_needs_a_rule_for_its_initrd() {
    let mut policy = learn("x86-secureboot-on");
    policy.boot.images.clear();
    policy.boot.unified_images.clear();
    policy.boot.initrds.clear();
    policy.boot.accept_signed_images = true;
    assert_eq!(rules_of(&judge(&policy, "x86-secureboot-on")), ["boot.initrds"].into());
    policy.pcr.extend(toml::from_str::<Policy>("[pcr.9]\nunexplained = 'allow'").unwrap().pcr);
    assert_eq!(rules_of(&judge(&policy, "x86-secureboot-on")), BTreeSet::new());
}

#[test]
fn a_command_line_is_appraised_by_its_digest_if_the_log_has_no_text() {
    let text = "root=/dev/nvme0n1p2 rw console=ttyS0 ima_policy=tcb".to_owned();
    let mut policy = learn("x86-good");
    policy.boot.command_line_digests.clear();
    assert_eq!(rules_of(&judge(&policy, "x86-good")), ["boot.command-lines"].into());
    policy.boot.command_lines = vec![CommandLinePattern::literal(&text)];
    assert_eq!(rules_of(&judge(&policy, "x86-good")), BTreeSet::new());
    // A pattern with wildcards has no digest.
    policy.boot.command_lines = vec![CommandLinePattern::new(text.replace("tcb", "*")).unwrap()];
    assert_eq!(rules_of(&judge(&policy, "x86-good")), ["boot.command-lines"].into());
}

#[test]
fn an_accepted_state_explains_unlisted_events_and_overrides_no_requirement() {
    let policy = learn("x86-good");
    let accepted = |policy: &Policy, name: &str| {
        let boot_states = vec![state(name)];
        judge_with(name, ReferenceValues { boot_states, ..reference(policy) })
    };
    assert_eq!(rules_of(&accepted(&policy, "x86-cmdline-changed")), BTreeSet::new());
    let other = ReferenceValues { boot_states: vec![state("x86-initrd-changed")], ..reference(&policy) };
    assert!(!rules_of(&judge_with("x86-cmdline-changed", other)).is_empty());

    let mut strict = policy.clone();
    strict.secure_boot.required = true;
    assert_eq!(rules_of(&accepted(&strict, "x86-cmdline-changed")), ["secure-boot.required"].into());
    strict = policy.clone();
    strict.firmware.versions.clear();
    assert_eq!(rules_of(&accepted(&strict, "x86-cmdline-changed")), ["firmware.versions"].into());
    strict = policy.clone();
    strict.ima = Some(Default::default());
    assert_eq!(rules_of(&accepted(&strict, "x86-cmdline-changed")), ["ima.log"].into());
    strict = policy;
    strict.freshness.max_age = Some(9);
    assert_eq!(rules_of(&accepted(&strict, "x86-cmdline-changed")), ["freshness.max-age"].into());
}

#[test]
fn without_a_log_accepted_states_are_compared_if_the_policy_allows_it() {
    let boot = Boot::named("arm64-good");
    let quote = boot.quote();
    let without_log = |policy: &Policy, boot_states| {
        let evidence = of_boot(&quote, None, ImaProgress::Absent);
        appraise(&evidence, &ReferenceValues { boot_states, ..reference(policy) })
    };
    let mut policy = learn("arm64-good");
    assert_eq!(rules_of(&without_log(&policy, vec![state("arm64-good")])), ["boot-log.required"].into());
    policy.boot_log.required = false;
    let rules = rules_of(&without_log(&policy, vec![state("arm64-good")]));
    assert_eq!(rules, ["firmware.versions"].into());
    policy.firmware.accept_any_version = true;
    assert_eq!(without_log(&policy, vec![state("arm64-good")]).tier, TrustTier::Warning);
    assert_eq!(rules_of(&without_log(&policy, vec![])), ["boot-state.accepted"].into());
}

#[test]
fn events_of_a_pcr_with_a_section_are_appraised_outside_of_the_lease() {
    let mut policy = learn("x86-good");
    for (written, worst) in [
        ("", TrustTier::Contraindicated),
        ("unexplained = 'warn'", TrustTier::Warning),
        ("unexplained = 'allow'", TrustTier::Affirming),
    ] {
        policy.pcr = toml::from_str::<Policy>(&format!("[pcr.5]\n{written}")).unwrap().pcr;
        let appraisal = judge(&policy, "x86-good");
        assert_eq!(appraisal.tier, worst, "{written}: {appraisal:#?}");
    }
    let value = boot_value("x86-good", 5);
    policy.pcr = toml::from_str::<Policy>(&format!("[pcr.5]\nvalues = ['{value}']")).unwrap().pcr;
    assert_eq!(judge(&policy, "x86-good").tier, TrustTier::Affirming);
}

#[test]
fn a_rule_about_a_pcr_that_is_not_appraised_is_refused() {
    let lease_selection = PcrSelection::new(HashAlgorithm::Sha256, [0, 2, 7]).unwrap();
    let mut policy = learn("x86-good");
    let judge_fewer = |policy: &Policy| {
        let lease_selection = lease_selection.clone();
        rules_of(&judge_with("x86-good", ReferenceValues { lease_selection, ..reference(policy) }))
    };
    assert_eq!(judge_fewer(&policy), ["boot.command-lines", "boot.images", "boot.initrds"].into());
    policy.pcr = toml::from_str::<Policy>("[pcr.4]\n[pcr.9]").unwrap().pcr;
    assert_eq!(judge_fewer(&policy), BTreeSet::new());
    // An explicit `allow` is the operator's choice.
    policy.pcr = toml::from_str::<Policy>("[pcr.4]\nunexplained = 'allow'\n[pcr.9]").unwrap().pcr;
    assert_eq!(judge_fewer(&policy), BTreeSet::new());
}

#[test]
fn boot_phases_in_pcr_11_need_no_rule() {
    for boot in Boot::all() {
        let lease_selection = PcrSelection::new(HashAlgorithm::Sha256, [0, 4, 8, 9, 11, 12]).unwrap();
        let quoted = boot.quote();
        let policy =
            Learnt::from_boot(&boot.event_log(), None, quoted.pcrs(), &lease_selection).unwrap().policy;
        let reference = ReferenceValues { lease_selection, ..reference(&policy) };
        let appraisal = judge_with(&boot.name, reference);
        assert_eq!(refusals(&appraisal), [], "{}", boot.name);
        let phases = policy.pcr.values().all(|section| section.values.is_empty());
        assert!(phases, "{}: PCR 11 was learnt as a value", boot.name);
    }
}

#[test]
fn nothing_is_learnt_from_a_log_of_another_boot() {
    let quoted = Boot::named("x86-good").quote();
    let other = Boot::named("x86-cmdline-changed").event_log();
    let lease = PcrSelection::lease_default();
    assert_eq!(Learnt::from_boot(&other, None, quoted.pcrs(), &lease), Err(LearnError::Pcr(4)));
    assert!(matches!(Learnt::from_boot(&[], None, quoted.pcrs(), &lease), Err(LearnError::Log(_))));
}

/// The log has nearly 1 MiB. Comparing each of 6,500 digests with each of 6,500 texts would hash 130 million texts,
/// which takes minutes in a build without optimization.
#[test]
fn learning_and_appraising_take_time_linear_in_the_number_of_command_lines() {
    let mut log = (0..8).fold(LogWriter::new(), LogWriter::separator).measured(
        9,
        EventKind::IPL,
        b"the kernel",
        b"/vmlinuz\0",
    );
    let lines: Vec<String> = (0..6_500).map(|number| format!("/vmlinuz a={number}")).collect();
    for line in &lines {
        let (text, wide) = (format!("kernel_cmdline: {line}\0"), [utf16(line), vec![0, 0]].concat());
        log = log.measured(8, EventKind::IPL, line.as_bytes(), text.as_bytes()).measured(
            9,
            EventKind::EVENT_TAG,
            &wide,
            &[0xed, 0x22, 0x3b, 0x8f, 0, 0, 0, 0],
        );
    }
    let log = log.bytes();
    assert!((900_000..LOG_MAX_LEN).contains(&log.len()), "{}", log.len());
    let quote = quote_of(&log);
    let lease_selection = PcrSelection::lease_default();
    let started_at = Instant::now();
    let mut policy = Learnt::from_boot(&log, None, quote.pcrs(), &lease_selection).unwrap().policy;
    assert_eq!(policy.boot.command_lines.len(), lines.len());
    assert!(policy.boot.command_line_digests.is_empty());
    policy.secure_boot.required = false;

    let evidence = of_boot(&quote, Some(&log), ImaProgress::Absent);
    assert_eq!(appraise(&evidence, &reference(&policy)).tier, TrustTier::Affirming);
    policy.boot.command_lines.pop();
    let appraisal = appraise(&evidence, &reference(&policy));
    assert_eq!(refusals(&appraisal).len(), 2, "the last line, in each form");
    assert!(started_at.elapsed() < Duration::from_secs(60), "{:?}", started_at.elapsed());
}

#[test]
fn a_list_has_each_digest_once_and_finds_it() {
    let allowed = |byte: u8, name: &str| Allowed {
        digest: TaggedDigest::filled(HashAlgorithm::Sha256, byte),
        name: name.to_owned(),
    };
    let mut list: AllowedList = [allowed(1, "a"), allowed(2, "b"), allowed(1, "c")].into_iter().collect();
    assert_eq!(list.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(list.allows(&allowed(2, "").digest) && !list.allows(&allowed(3, "").digest));
    assert_eq!(list.pop(), Some(allowed(2, "b")));
    assert!(!list.allows(&allowed(2, "").digest));
    list.push(allowed(2, "d"));
    assert!(list.allows(&allowed(2, "").digest));
    list.clear();
    assert!(list.is_empty() && !list.allows(&allowed(1, "").digest));
}

fn learn(name: &str) -> Policy {
    let boot = Boot::named(name);
    Learnt::from_boot(&boot.event_log(), None, boot.quote().pcrs(), &PcrSelection::lease_default())
        .unwrap()
        .policy
}

fn reference(policy: &Policy) -> ReferenceValues {
    ReferenceValues {
        lease_selection: PcrSelection::lease_default(),
        policy: Some(Arc::new(policy.clone())),
        boot_states: Vec::new(),
        boot_log: BootLogRule::AllowAbsent,
        high_water: None,
    }
}

fn state(name: &str) -> BootState {
    let pcrs = Boot::named(name).quote().pcrs().select(&PcrSelection::lease_default()).unwrap();
    BootState { name: name.to_owned(), pcrs }
}

fn judge(policy: &Policy, name: &str) -> AttestationResult {
    judge_with(name, reference(policy))
}

/// Appraises a boot without an IMA log, ten seconds after the challenge.
fn judge_with(name: &str, reference: ReferenceValues) -> AttestationResult {
    let boot = Boot::named(name);
    let (quote, log) = (boot.quote(), boot.event_log());
    let boot_log = Some(log.as_slice());
    let evidence = AppraisedEvidence {
        quote: &quote,
        epoch: 1,
        age_s: 10,
        boot_log,
        measure_log: None,
        measure_log_cut: false,
        nvpcrs: NvPcrs::NotAsked,
        ima: ImaProgress::Absent,
    };
    let appraisal = appraise(&evidence, &reference);
    // Without rules on files, a missing IMA log is a warning.
    AttestationResult::new(
        appraisal
            .reasons
            .into_iter()
            .filter(|reason| (reason.area, reason.tier) != (Area::Runtime, TrustTier::Warning))
            .collect(),
    )
}

fn refusals(appraisal: &AttestationResult) -> Vec<(&'static str, Option<usize>)> {
    let refusals = appraisal.reasons.iter().filter(|reason| reason.tier == TrustTier::Contraindicated);
    refusals.map(|reason| (reason.rule, reason.event)).collect()
}

fn rules_of(appraisal: &AttestationResult) -> BTreeSet<&'static str> {
    refusals(appraisal).into_iter().map(|(rule, _)| rule).collect()
}

fn boot_value(name: &str, pcr: u8) -> String {
    Boot::named(name).quoted_pcrs().get(HashAlgorithm::Sha256, pcr).unwrap().to_string()
}
