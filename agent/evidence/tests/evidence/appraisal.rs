use pawl_evidence::appraise::{
    Area, AttestationResult, BootLogRule, BootState, CLOCK_SAVE_INTERVAL_MS, HighWater, ImaProgress,
    ReferenceValues, TpmTime, TrustTier, appraise,
};
use pawl_evidence::ima::{Aggregate, BinaryLog, IMA_PCR};
use pawl_evidence::tpm::{HashAlgorithm, PcrSelection};

use crate::support::boot::Boot;
use crate::support::quoted::of_boot;

#[test]
fn a_second_boot_of_the_same_files_is_affirmed() {
    let appraisal = appraise_boot("x86-good-2nd-boot", &reference("x86-good"));
    assert_eq!(appraisal.tier, TrustTier::Affirming, "{appraisal:?}");
    for area in [Area::Hardware, Area::Firmware, Area::Boot, Area::Runtime, Area::Freshness] {
        assert_eq!(appraisal.area(area), Some(TrustTier::Affirming));
    }
}

#[test]
fn another_command_line_is_refused_and_the_pcrs_are_named() {
    let appraisal = appraise_boot("x86-cmdline-changed", &reference("x86-good"));
    assert_eq!(appraisal.tier, TrustTier::Contraindicated);
    let texts = refusals(&appraisal);
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].starts_with("PCR 4 (sha256: boot loader"), "{texts:?}");
    assert!(texts[1].starts_with("PCR 9 (sha256: kernel, initrd"), "{texts:?}");
}

#[test]
fn a_refusal_names_the_nearest_of_several_states() {
    let mut reference = reference("x86-shim-grub-ms");
    reference.boot_states.extend(self::reference("x86-good").boot_states);
    let appraisal = appraise_boot("x86-initrd-changed", &reference);
    assert!(refusals(&appraisal).iter().all(|text| text.contains("\"x86-good\"")), "{appraisal:?}");
    assert_eq!(appraise_boot("x86-shim-grub-ms", &reference).tier, TrustTier::Affirming);
}

#[test]
fn without_reference_values_nothing_is_accepted() {
    let mut reference = reference("x86-good");
    reference.boot_states.clear();
    assert_eq!(appraise_boot("x86-good", &reference).tier, TrustTier::Contraindicated);
    reference = self::reference("x86-good");
    reference.lease_selection = PcrSelection::new(HashAlgorithm::Sha256, []).unwrap();
    assert_eq!(appraise_boot("x86-good", &reference).tier, TrustTier::Contraindicated);
    reference.lease_selection = PcrSelection::new(HashAlgorithm::Sha256, [15]).unwrap();
    assert_eq!(appraise_boot("x86-good", &reference).tier, TrustTier::Contraindicated);
}

#[test]
fn a_foreign_cut_or_missing_boot_log_is_refused() {
    let boot = Boot::named("x86-good");
    let quote = boot.quote();
    let reference = reference("x86-good");
    let (log, other) = (boot.event_log(), Boot::named("x86-cmdline-changed").event_log());
    let with = |boot_log| {
        let evidence = of_boot(&quote, boot_log, ImaProgress::Behind);
        let reasons = appraise(&evidence, &reference).reasons;
        AttestationResult::new(reasons.into_iter().filter(|reason| reason.area != Area::Runtime).collect())
    };
    assert_eq!(with(Some(&log)).tier, TrustTier::Affirming);
    assert_eq!(with(Some(&log[..log.len() - 1])).tier, TrustTier::Contraindicated);
    assert_eq!(with(None).tier, TrustTier::Contraindicated);
    assert_eq!(with(Some(&[])).tier, TrustTier::Contraindicated);
    let refused = with(Some(&other));
    assert!(refusals(&refused)[0].contains("does not explain PCR 4"), "{refused:?}");
}

#[test]
fn a_log_that_omits_all_events_of_a_pcr_is_refused() {
    let boot = Boot::named("x86-good");
    let log = boot.event_log();
    let parsed = pawl_evidence::eventlog::EventLog::parse(&log).unwrap();
    let events: Vec<_> = parsed.events().collect::<Result<_, _>>().unwrap();
    let mut without = log[..events[0].offset].to_vec();
    let ends = events.iter().skip(1).map(|event| event.offset).chain([log.len()]);
    for (event, end) in events.iter().zip(ends).filter(|(event, _)| event.pcr != 4) {
        without.extend(&log[event.offset..end]);
    }
    let quote = boot.quote();
    let (boot_log, ima) = (Some(without.as_slice()), ImaProgress::Absent);
    let evidence = of_boot(&quote, boot_log, ima);
    let appraisal = appraise(&evidence, &reference("x86-good"));
    assert!(refusals(&appraisal)[0].contains("does not explain PCR 4"), "{appraisal:?}");
}

#[test]
fn a_board_without_a_log_is_a_warning_if_the_rule_allows_it() {
    let quote = Boot::named("arm64-good").quote();
    let reference = ReferenceValues { boot_log: BootLogRule::AllowAbsent, ..reference("arm64-good") };
    let evidence = of_boot(&quote, None, ImaProgress::Absent);
    assert_eq!(appraise(&evidence, &reference).tier, TrustTier::Warning);
}

#[test]
fn ima_without_a_tpm_is_a_warning() {
    let appraisal = appraise_boot("arm64-good", &reference("arm64-good"));
    assert_eq!(appraisal.area(Area::Runtime), Some(TrustTier::Warning));
    assert_eq!(appraisal.area(Area::Boot), Some(TrustTier::Affirming));
}

#[test]
fn a_tpm_whose_time_goes_back_is_refused() {
    let clock = Boot::named("x86-good").quote().clock();
    let seen = |epoch, reset_count, clock_ms| {
        let high_water = Some(HighWater::first(TpmTime { epoch, reset_count, clock_ms }));
        appraise_boot("x86-good", &ReferenceValues { high_water, ..reference("x86-good") }).tier
    };
    assert_eq!(seen(1, clock.reset_count, clock.clock_ms), TrustTier::Affirming);
    assert_eq!(seen(1, clock.reset_count, clock.clock_ms + 1), TrustTier::Contraindicated);
    assert_eq!(seen(1, clock.reset_count - 1, clock.clock_ms + 1), TrustTier::Affirming);
    let saved = CLOCK_SAVE_INTERVAL_MS;
    assert_eq!(seen(1, clock.reset_count - 1, clock.clock_ms + saved + 1), TrustTier::Contraindicated);
    assert_eq!(seen(1, clock.reset_count + 1, 0), TrustTier::Contraindicated);
    assert_eq!(seen(2, 0, 0), TrustTier::Contraindicated);
}

fn reference(name: &str) -> ReferenceValues {
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

fn appraise_boot(name: &str, reference: &ReferenceValues) -> AttestationResult {
    let boot = Boot::named(name);
    let quote = boot.quote();
    let quoted = quote.pcrs().get(HashAlgorithm::Sha256, IMA_PCR).unwrap();
    let ima_log = boot.read("ima_after_quote.bin");
    let outcome = Aggregate::new(HashAlgorithm::Sha256).advance(BinaryLog::new(&ima_log), quoted).unwrap();
    let log = boot.event_log();
    let (boot_log, ima) = (Some(log.as_slice()), ImaProgress::Followed { outcome, findings: None });
    appraise(&of_boot(&quote, boot_log, ima), reference)
}

fn refusals(appraisal: &AttestationResult) -> Vec<&str> {
    let refusals = appraisal.reasons.iter().filter(|reason| reason.tier == TrustTier::Contraindicated);
    refusals.map(|reason| reason.text.as_str()).collect()
}
