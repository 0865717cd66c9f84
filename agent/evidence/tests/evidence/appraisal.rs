use pawl_evidence::appraise::{
    Appraisal, Area, BootLog, BootLogRule, BootState, CLOCK_SAVE_INTERVAL_MS, HighWater, ImaLog,
    ReferenceValues, TpmTime, Verdict, appraise,
};
use pawl_evidence::ima::{Aggregate, BinaryLog, IMA_PCR};
use pawl_evidence::tpm::{HashAlgorithm, PcrSelection};

use crate::support::boot::Boot;
use crate::support::quoted::of_boot;

#[test]
fn a_second_boot_of_the_same_is_affirmed() {
    let appraisal = appraise_boot("x86-good-2nd-boot", &reference("x86-good"));
    assert_eq!(appraisal.result, Verdict::Affirming, "{appraisal:?}");
    for area in [Area::Hardware, Area::Firmware, Area::Boot, Area::Runtime, Area::Freshness] {
        assert_eq!(appraisal.area(area), Some(Verdict::Affirming));
    }
}

#[test]
fn another_command_line_is_refused_and_the_pcrs_are_named() {
    let appraisal = appraise_boot("x86-cmdline-changed", &reference("x86-good"));
    assert_eq!(appraisal.result, Verdict::Contraindicated);
    let texts = refusals(&appraisal);
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].starts_with("PCR 4 (sha256: boot loader"), "{texts:?}");
    assert!(texts[1].starts_with("PCR 9 (sha256: kernel, initrd"), "{texts:?}");
}

#[test]
fn the_nearest_of_several_states_is_compared_with() {
    let mut reference = reference("x86-shim-grub-ms");
    reference.boot_states.extend(self::reference("x86-good").boot_states);
    let appraisal = appraise_boot("x86-initrd-changed", &reference);
    assert!(refusals(&appraisal).iter().all(|text| text.contains("\"x86-good\"")), "{appraisal:?}");
    assert_eq!(appraise_boot("x86-shim-grub-ms", &reference).result, Verdict::Affirming);
}

#[test]
fn without_reference_values_nothing_is_accepted() {
    let mut reference = reference("x86-good");
    reference.boot_states.clear();
    assert_eq!(appraise_boot("x86-good", &reference).result, Verdict::Contraindicated);
    reference = self::reference("x86-good");
    reference.lease_selection = PcrSelection::new(HashAlgorithm::Sha256, []).unwrap();
    assert_eq!(appraise_boot("x86-good", &reference).result, Verdict::Contraindicated);
    reference.lease_selection = PcrSelection::new(HashAlgorithm::Sha256, [15]).unwrap();
    assert_eq!(appraise_boot("x86-good", &reference).result, Verdict::Contraindicated);
}

#[test]
fn another_boots_log_a_cut_one_and_none_are_refused() {
    let boot = Boot::named("x86-good");
    let quote = boot.quote();
    let reference = reference("x86-good");
    let (log, other) = (boot.event_log(), Boot::named("x86-cmdline-changed").event_log());
    let with = |boot_log| {
        let evidence = of_boot(&quote, boot_log, ImaLog::Behind);
        let reasons = appraise(&evidence, &reference).reasons;
        Appraisal::new(reasons.into_iter().filter(|reason| reason.area != Area::Runtime).collect())
    };
    assert_eq!(with(BootLog::Whole(&log)).result, Verdict::Affirming);
    assert_eq!(with(BootLog::Whole(&log[..log.len() - 1])).result, Verdict::Contraindicated);
    assert_eq!(with(BootLog::Absent).result, Verdict::Contraindicated);
    assert_eq!(with(BootLog::Whole(&[])).result, Verdict::Contraindicated);
    let refused = with(BootLog::Whole(&other));
    assert!(refusals(&refused)[0].contains("does not explain PCR 4"), "{refused:?}");
}

#[test]
fn a_log_that_leaves_out_a_whole_pcr_is_refused() {
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
    let (boot_log, ima) = (BootLog::Whole(&without), ImaLog::Absent);
    let evidence = of_boot(&quote, boot_log, ima);
    let appraisal = appraise(&evidence, &reference("x86-good"));
    assert!(refusals(&appraisal)[0].contains("does not explain PCR 4"), "{appraisal:?}");
}

#[test]
fn a_board_without_a_log_is_a_warning_where_that_is_allowed() {
    let quote = Boot::named("arm64-good").quote();
    let reference = ReferenceValues { boot_log: BootLogRule::AllowAbsent, ..reference("arm64-good") };
    let evidence = of_boot(&quote, BootLog::Absent, ImaLog::Absent);
    assert_eq!(appraise(&evidence, &reference).result, Verdict::Warning);
}

#[test]
fn ima_without_a_tpm_is_a_warning() {
    let appraisal = appraise_boot("arm64-good", &reference("arm64-good"));
    assert_eq!(appraisal.area(Area::Runtime), Some(Verdict::Warning));
    assert_eq!(appraisal.area(Area::Boot), Some(Verdict::Affirming));
}

#[test]
fn a_tpm_that_goes_back_is_refused() {
    let clock = Boot::named("x86-good").quote().clock();
    let seen = |epoch, reset_count, clock_ms| {
        let high_water = Some(HighWater::first(TpmTime { epoch, reset_count, clock_ms }));
        appraise_boot("x86-good", &ReferenceValues { high_water, ..reference("x86-good") }).result
    };
    assert_eq!(seen(1, clock.reset_count, clock.clock_ms), Verdict::Affirming);
    assert_eq!(seen(1, clock.reset_count, clock.clock_ms + 1), Verdict::Contraindicated);
    assert_eq!(seen(1, clock.reset_count - 1, clock.clock_ms + 1), Verdict::Affirming);
    let saved = CLOCK_SAVE_INTERVAL_MS;
    assert_eq!(seen(1, clock.reset_count - 1, clock.clock_ms + saved + 1), Verdict::Contraindicated);
    assert_eq!(seen(1, clock.reset_count + 1, 0), Verdict::Contraindicated);
    assert_eq!(seen(2, 0, 0), Verdict::Contraindicated);
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

fn appraise_boot(name: &str, reference: &ReferenceValues) -> Appraisal {
    let boot = Boot::named(name);
    let quote = boot.quote();
    let quoted = quote.pcrs().get(HashAlgorithm::Sha256, IMA_PCR).unwrap();
    let ima_log = boot.read("ima_after_quote.bin");
    let outcome = Aggregate::new(HashAlgorithm::Sha256).advance(BinaryLog::new(&ima_log), quoted).unwrap();
    let log = boot.event_log();
    let (boot_log, ima) = (BootLog::Whole(&log), ImaLog::Followed { outcome, findings: None });
    appraise(&of_boot(&quote, boot_log, ima), reference)
}

fn refusals(appraisal: &Appraisal) -> Vec<&str> {
    let refusals = appraisal.reasons.iter().filter(|reason| reason.verdict == Verdict::Contraindicated);
    refusals.map(|reason| reason.text.as_str()).collect()
}
