//! Devices that quote the sha384 bank.

use std::collections::BTreeSet;
use std::sync::Arc;

use pawl_evidence::appraise::policy::{Learnt, Policy};
use pawl_evidence::appraise::{
    AppraisedEvidence, Area, AttestationResult, BootLogRule, Foretold, ImaProgress, NvPcrs, ReferenceValues,
    TrustTier, appraise, foretell,
};
use pawl_evidence::eventlog::{EventKind, EventLog, predict};
use pawl_evidence::tpm::{HashAlgorithm, PcrSelection, PcrValues, TaggedDigest};

use crate::predict::unified;
use crate::support::boot::Boot;
use crate::support::log::LogWriter;
use crate::support::quoted;

const BANK: HashAlgorithm = HashAlgorithm::Sha384;

#[test]
fn both_logs_are_appraised_by_the_quoted_sha384_bank() {
    let policy = learn("forky-good", BANK);
    assert!(policy.boot.require_os_separator);
    assert_eq!((policy.boot.unified_images.len(), policy.boot.sections.len()), (1, 7));
    let listed = policy.boot.sections.iter().chain(policy.boot.unified_images.iter());
    assert!(listed.into_iter().all(|allowed| allowed.digest.algorithm() == BANK));

    let same = judge(&policy, "forky-good");
    assert_eq!(refused(&same), BTreeSet::new(), "{same:#?}");
    for area in [Area::Hardware, Area::Firmware, Area::Boot] {
        assert_eq!(same.area(area), Some(TrustTier::Affirming), "{area}: {same:#?}");
    }
    let other_machine = judge(&policy, "forky-other-machine");
    assert_eq!(refused(&other_machine), BTreeSet::new(), "{other_machine:#?}");
    let changed = judge(&policy, "forky-cmdline-changed");
    let rules = ["boot.command-lines", "boot.images", "boot.initrds", "boot.sections"];
    assert_eq!(refused(&changed), rules.into(), "{changed:#?}");
    let texts = changed.reasons.iter().map(|reason| reason.text.as_str()).collect::<Vec<_>>().join("\n");
    assert!(texts.contains("not in the list: sha384 ") && !texts.contains("sha256 "), "{texts}");
}

#[test]
fn a_policy_learnt_from_the_sha256_bank_lists_no_sha384_digest() {
    let appraisal = judge(&learn("forky-good", HashAlgorithm::Sha256), "forky-good");
    assert!(refused(&appraisal).contains("boot.sections"), "{appraisal:#?}");
}

#[test]
fn a_command_line_is_learnt_as_text_if_any_event_has_the_text() {
    let line = "/vmlinuz root=/dev/sda2 quiet";
    let wide: Vec<u8> = line.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let text = format!("kernel_cmdline: {line}\0");
    let tag = [0xed, 0x22, 0x3b, 0x8f, 0, 0, 0, 0];
    for bank in [HashAlgorithm::Sha256, BANK] {
        let log = (0..8).fold(LogWriter::of_bank(bank), LogWriter::separator);
        // GRUB logs the text of the command line; the kernel's stub logs only its digest.
        let log = log
            .event(4, EventKind::EFI_BOOT_SERVICES_APPLICATION, b"the kernel")
            .measured(8, EventKind::IPL, line.as_bytes(), text.as_bytes())
            .measured(9, EventKind::EVENT_TAG, &wide, &tag)
            .bytes();
        let mut pcrs = EventLog::parse(&log).unwrap().replay().unwrap();
        for index in 0..15 {
            if pcrs.get(bank, index).is_none() {
                pcrs.insert(index, TaggedDigest::filled(bank, 0)).unwrap();
            }
        }
        let rules = Learnt::from_boot(&log, None, &pcrs, &lease(bank)).unwrap().policy.boot;
        let lines: Vec<_> = rules.command_lines.iter().map(|pattern| pattern.as_str()).collect();
        assert_eq!((lines, rules.command_line_digests.len()), (vec![line], 0), "{bank}");
    }
}

#[test]
fn an_update_is_predicted_in_the_sha384_bank() {
    let (good, changed) = (Boot::named("forky-good"), Boot::named("forky-cmdline-changed"));
    let (log, measured) = (good.event_log(), good.measure_log());
    let log = EventLog::parse(&log).unwrap();
    let predicted = predict(&log, BANK, &unified(&changed, "any")).unwrap();
    let (present, coming) = (values(&good, BANK), values(&changed, BANK));
    for index in [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14] {
        let value = present.get(BANK, index).unwrap();
        let foretold = foretell(&log, Some(&measured), value, index, &predicted);
        assert_eq!(foretold, Ok(Foretold::Value(*coming.get(BANK, index).unwrap())), "PCR {index}");
    }
}

fn learn(name: &str, bank: HashAlgorithm) -> Policy {
    let boot = Boot::named(name);
    let (log, measured) = (boot.event_log(), boot.measure_log());
    Learnt::from_boot(&log, Some(&measured), &values(&boot, bank), &lease(bank)).unwrap().policy
}

fn judge(policy: &Policy, name: &str) -> AttestationResult {
    let boot = Boot::named(name);
    let (log, measured) = (boot.event_log(), boot.measure_log());
    let quote = quoted::quote(&values(&boot, BANK));
    let evidence = AppraisedEvidence {
        quote: &quote,
        epoch: 1,
        age_s: 10,
        boot_log: Some(&log),
        measure_log: Some(&measured),
        measure_log_cut: false,
        nvpcrs: NvPcrs::NotAsked,
        ima: ImaProgress::Absent,
    };
    let reference = ReferenceValues {
        lease_selection: lease(BANK),
        policy: Some(Arc::new(policy.clone())),
        boot_states: Vec::new(),
        boot_log: BootLogRule::Require,
        high_water: None,
    };
    let mut appraisal = appraise(&evidence, &reference);
    // These tests send no IMA log.
    appraisal.reasons.retain(|reason| reason.area != Area::Runtime);
    AttestationResult::new(appraisal.reasons)
}

fn refused(appraisal: &AttestationResult) -> BTreeSet<&'static str> {
    let reasons = appraisal.reasons.iter();
    reasons.filter(|reason| reason.tier == TrustTier::Contraindicated).map(|reason| reason.rule).collect()
}

/// Returns the PCR values of a boot in one bank.
fn values(boot: &Boot, bank: HashAlgorithm) -> PcrValues {
    boot.pcrs().select(&PcrSelection::new(bank, 0..=15).unwrap()).unwrap()
}

fn lease(bank: HashAlgorithm) -> PcrSelection {
    PcrSelection::new(bank, PcrSelection::lease_default().iter().map(|(_, index)| index)).unwrap()
}
