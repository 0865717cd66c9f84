//! U-Boot without UEFI: the events of `bootm_measure` are decoded and appraised, and the lease must name their PCRs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use pawl_evidence::appraise::policy::{CommandLinePattern, LearnError, Learnt, Policy};
use pawl_evidence::appraise::{
    AttestationResult, BootCoverage, BootLogRule, BootState, ImaProgress, ReferenceValues, TrustTier,
    Uncovered, appraise,
};
use pawl_evidence::boot_image::{BootChange, DigestSet};
use pawl_evidence::eventlog::{
    EventFact, EventKind, EventLog, Fact, FirmwarePart, PredictError, Tie, predict,
};
use pawl_evidence::tpm::{HashAlgorithm, PcrSelection, PcrValues, TaggedDigest};
use serde_json::json;

use crate::support::boot::Boot;
use crate::support::log::LogWriter;
use crate::support::quoted::{of_boot, quote, quote_of};

const BOOTARGS: &str = "console=ttyS0 root=/dev/mmcblk0p2 ro";
const DEFAULT: [u8; 8] = [0, 2, 4, 7, 8, 9, 12, 14];

#[test]
fn a_boot_by_u_boot_is_not_predicted() {
    let log = fixture("uboot-bootm-real.bin");
    let log = EventLog::parse(&log).unwrap();
    let separate = json!({"separate": {
        "kernel": DigestSet::of(b"kernel"), "kernel-file": DigestSet::of(b"file"), "initrd": DigestSet::of(b"initrd"), "command-line": "ro", "is-signed": false,
    }});
    let change: BootChange = serde_json::from_value(separate).unwrap();
    let refused = predict(&log, HashAlgorithm::Sha256, &change).unwrap_err();
    assert_eq!(refused, PredictError::UBoot);
    assert!(refused.to_string().contains("--pcr"), "{refused}");
}

#[test]
fn the_events_of_u_boot_are_decoded() {
    let log = fixture("uboot-bootm-real.bin");
    let facts = EventLog::parse(&log).unwrap().facts().unwrap();
    let check = |pcr: u8, is: &dyn Fn(&Fact<'_>) -> bool| {
        let found: Vec<_> = facts.iter().filter(|event| event.pcr == pcr && is(&event.fact)).collect();
        let [event] = found[..] else { panic!("PCR {pcr}: {facts:#?}") };
        assert_eq!(event.tie, Tie::Digest, "{event}");
    };
    check(0, &|fact| matches!(fact, Fact::FirmwareVersion(text) if text.starts_with("U-Boot 2024.07")));
    check(
        0,
        &|fact| matches!(fact, Fact::FirmwareContent(content) if content.part == FirmwarePart::DeviceTree),
    );
    check(1, &|fact| *fact == Fact::CommandLine(BOOTARGS.to_owned()));
    check(8, &|fact| *fact == Fact::Kernel);
    check(9, &|fact| *fact == Fact::Initrd);
}

/// Other firmware measures settings with the event type of U-Boot's command line.
#[test]
fn settings_of_other_firmware_are_not_a_command_line() {
    let flags = EventKind::PLATFORM_CONFIG_FLAGS;
    let alone = LogWriter::new().event(1, flags, b"init=/bin/sh\0").separator(1).bytes();
    let after = LogWriter::new()
        .measured(8, EventKind::COMPACT_HASH, b"kernel", b"linux\0")
        .separator(1)
        .event(1, flags, b"init=/bin/sh\0")
        .bytes();
    let uncovered = LogWriter::new()
        .measured(8, EventKind::COMPACT_HASH, b"kernel", b"linux\0")
        .measured(1, flags, b"other", b"quiet\0")
        .separator(1)
        .bytes();
    for log in [alone, after, uncovered] {
        let facts = EventLog::parse(&log).unwrap().facts().unwrap();
        let is_line = |event: &EventFact<'_>| matches!(event.fact, Fact::CommandLine(_));
        assert!(!facts.iter().any(is_line), "{facts:#?}");
    }
}

#[test]
fn another_command_line_is_contraindicated_by_a_learnt_policy() {
    let (good, changed) = (fixture("uboot-bootm-real.bin"), fixture("uboot-bootm-real-cmdline-changed.bin"));
    let policy = learn(&good, with_bootargs()).unwrap();
    assert_eq!(policy.boot.command_lines, [CommandLinePattern::literal(BOOTARGS)]);
    assert_eq!((policy.boot.images.len(), policy.boot.initrds.len()), (1, 1));
    let judged = |log: &[u8]| judge(log, with_bootargs(), Some(policy.clone()), &[]);
    assert_eq!(judged(&good).tier, TrustTier::Affirming, "{:#?}", judged(&good));
    assert_eq!(rules(&judged(&changed)), ["boot.command-lines"], "{:#?}", judged(&changed));
}

#[test]
fn a_lease_without_the_command_lines_pcr_is_refused_with_and_without_a_policy() {
    let good = fixture("uboot-bootm-real.bin");
    let (quoted, default) = (quote_of(&good), selection(DEFAULT));
    let coverage = BootCoverage::of_log(&good, None, quoted.pcrs()).unwrap();
    assert_eq!(coverage.check(&DEFAULT.into()), Err(Uncovered::CommandLine));
    assert_eq!(coverage.missing_from(&DEFAULT.into()), [1].into());
    assert_eq!(learn(&good, default.clone()), Err(LearnError::Uncovered(Uncovered::CommandLine)));

    assert_eq!(rules(&judge(&good, default, None, &[&good])), ["boot.coverage"]);
    assert_eq!(judge(&good, with_bootargs(), None, &[&good]).tier, TrustTier::Affirming);
    let changed = fixture("uboot-bootm-real-cmdline-changed.bin");
    let appraisal = judge(&changed, with_bootargs(), None, &[&good]);
    assert_eq!(rules(&appraisal), ["boot-state.accepted"], "{appraisal:#?}");
    assert!(appraisal.reasons[0].text.starts_with("PCR 1 "), "{appraisal:#?}");
}

/// A policy may omit command lines; the appraisal then warns.
#[test]
fn a_policy_that_leaves_the_command_line_open_is_a_warning() {
    let good = fixture("uboot-bootm-real.bin");
    let mut policy = learn(&good, with_bootargs()).unwrap();
    policy.boot.command_lines.clear();
    let appraisal = judge(&good, selection(DEFAULT), Some(policy), &[]);
    let warned: Vec<_> =
        appraisal.reasons.iter().filter(|reason| reason.tier == TrustTier::Warning).collect();
    let [reason] = warned[..] else { panic!("{appraisal:#?}") };
    assert_eq!((reason.rule, appraisal.tier), ("boot.coverage", TrustTier::Warning));
    assert!(reason.text.contains("init=/bin/sh"), "{}", reason.text);
}

/// Root of a changed boot extends the digest of the allowed command line into PCR 8, and gives the event in PCR 1
/// another type, so that the log shows no command line in PCR 1.
#[test]
fn a_command_line_that_was_extended_after_the_boot_does_not_replace_u_boots() {
    let good = fixture("uboot-bootm-real.bin");
    let mut policy = learn(&good, with_bootargs()).unwrap();
    // The policy allows this command line, so the event in PCR 8 is explained.
    policy.boot.command_lines.push(CommandLinePattern::literal(BOOTARGS));
    let text = [b"kernel_cmdline: ", BOOTARGS.as_bytes(), b"\0"].concat();
    let doctored = LogWriter::appending(fixture("uboot-bootm-real-cmdline-changed.bin"))
        .measured(8, EventKind::IPL, BOOTARGS.as_bytes(), &text)
        .bytes();
    let relabelled = relabel(&doctored, EventKind::PLATFORM_CONFIG_FLAGS, EventKind::TABLE_OF_DEVICES);
    let coverage = BootCoverage::of_log(&relabelled, None, quote_of(&relabelled).pcrs()).unwrap();
    assert_eq!(coverage.missing_from(&DEFAULT.into()), BTreeSet::new(), "no log names PCR 1");
    let appraisal = judge(&relabelled, selection(DEFAULT), Some(policy), &[]);
    assert_eq!(rules(&appraisal), ["boot.command-lines"], "{appraisal:#?}");
}

/// With empty bootargs, the kernel takes its command line from the device tree.
#[test]
fn empty_bootargs_cover_no_command_line() {
    let log = u_boot_log(b"\0");
    assert_eq!(learn(&log, with_bootargs()), Err(LearnError::Uncovered(Uncovered::CommandLine)));
    assert_eq!(rules(&judge(&log, with_bootargs(), None, &[&log])), ["boot.coverage"]);
    assert!(learn(&u_boot_log(b"quiet\0"), with_bootargs()).is_ok());
}

#[test]
fn firmware_that_measures_no_kernel_is_refused_or_a_warning() {
    let separators = (0..8).fold(LogWriter::new(), LogWriter::separator).bytes();
    assert_eq!(learn(&separators, selection(DEFAULT)), Err(LearnError::Uncovered(Uncovered::Kernel)));
    let appraisal = judge(&separators, selection(DEFAULT), None, &[&separators]);
    assert_eq!(rules(&appraisal), ["boot.coverage"], "{appraisal:#?}");

    // Without a log the result is a warning at best; PCRs that were never extended add a reason.
    let mut pcrs = PcrValues::default();
    for index in 0..15 {
        pcrs.insert(index, TaggedDigest::filled(HashAlgorithm::Sha256, 0)).unwrap();
    }
    let without_log = |pcrs: &PcrValues| {
        let states = vec![BootState { name: "the first".into(), pcrs: pcrs.clone() }];
        judge_quoted(&quote(pcrs), None, reference(selection(DEFAULT), None, states))
    };
    let says_so = |appraisal: &AttestationResult| {
        appraisal
            .reasons
            .iter()
            .any(|reason| reason.rule == "boot.coverage" && reason.text.contains("was ever"))
    };
    let appraisal = without_log(&pcrs);
    assert!(appraisal.tier == TrustTier::Warning && says_so(&appraisal), "{appraisal:#?}");
    pcrs.insert(4, TaggedDigest::filled(HashAlgorithm::Sha256, 7)).unwrap();
    let appraisal = without_log(&pcrs);
    assert!(appraisal.tier == TrustTier::Warning && !says_so(&appraisal), "{appraisal:#?}");
}

#[test]
fn the_default_lease_covers_every_real_boot_with_uefi() {
    for boot in Boot::all() {
        let coverage = BootCoverage::of_log(&boot.event_log(), None, boot.quote().pcrs()).unwrap();
        assert_eq!(coverage.check(&DEFAULT.into()), Ok(()), "{}", boot.name);
        assert_eq!(coverage.missing_from(&DEFAULT.into()), BTreeSet::new(), "{}", boot.name);
        assert!(coverage.check(&[0, 2, 7].into()).is_err(), "{}", boot.name);
    }
}

fn u_boot_log(bootargs: &[u8]) -> Vec<u8> {
    let log = LogWriter::new()
        .event(0, EventKind::S_CRTM_VERSION, b"U-Boot 2026.10\0")
        .measured(8, EventKind::COMPACT_HASH, b"kernel", b"linux\0")
        .measured(9, EventKind::COMPACT_HASH, b"", b"initrd\0")
        .event(1, EventKind::PLATFORM_CONFIG_FLAGS, bootargs);
    (0..8).fold(log, LogWriter::separator).bytes()
}

fn learn(log: &[u8], lease: PcrSelection) -> Result<Policy, LearnError> {
    Learnt::from_boot(log, None, quote_of(log).pcrs(), &lease).map(|learnt| learnt.policy)
}

/// Appraises a boot under a policy, or against these accepted boots.
fn judge(log: &[u8], lease: PcrSelection, policy: Option<Policy>, accepted: &[&[u8]]) -> AttestationResult {
    let state = |log: &&[u8]| BootState { name: "accepted".into(), pcrs: quote_of(log).pcrs().clone() };
    let states = accepted.iter().map(state).collect();
    judge_quoted(&quote_of(log), Some(log), reference(lease, policy, states))
}

fn judge_quoted(
    quote: &pawl_evidence::attest::VerifiedQuote,
    boot_log: Option<&[u8]>,
    reference: ReferenceValues,
) -> AttestationResult {
    let evidence = of_boot(quote, boot_log, ImaProgress::Absent);
    appraise(&evidence, &reference)
}

fn reference(
    lease_selection: PcrSelection,
    policy: Option<Policy>,
    boot_states: Vec<BootState>,
) -> ReferenceValues {
    let policy = policy.map(Arc::new);
    ReferenceValues {
        lease_selection,
        policy,
        boot_states,
        boot_log: BootLogRule::AllowAbsent,
        high_water: None,
    }
}

/// Returns the rules of the contraindicating reasons.
fn rules(appraisal: &AttestationResult) -> Vec<&'static str> {
    let refusals = appraisal.reasons.iter().filter(|reason| reason.tier == TrustTier::Contraindicated);
    refusals.map(|reason| reason.rule).collect()
}

/// Changes the type of every event of PCR 1 that has the type `from`.
fn relabel(log: &[u8], from: EventKind, to: EventKind) -> Vec<u8> {
    let mut log = log.to_vec();
    let events: Vec<_> = EventLog::parse(&log).unwrap().events().map(|event| event.unwrap().offset).collect();
    for offset in events {
        let head = [1_u32.to_le_bytes(), from.0.to_le_bytes()].concat();
        if log[offset..].starts_with(&head) {
            log[offset + 4..offset + 8].copy_from_slice(&to.0.to_le_bytes());
        }
    }
    log
}

fn with_bootargs() -> PcrSelection {
    selection([0, 1, 2, 4, 7, 8, 9, 12, 14])
}

fn selection(pcrs: impl IntoIterator<Item = u8>) -> PcrSelection {
    PcrSelection::new(HashAlgorithm::Sha256, pcrs).unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)).unwrap()
}
