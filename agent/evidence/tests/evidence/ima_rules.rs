//! Rules on files, tested with real boots and with made-up logs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use pawl_evidence::ima::{
    Aggregate, BinaryLog, FileDigest, Findings, IMA_PCR, Outcome, PathPattern, RuleSet, Rules, Why,
};
use pawl_evidence::tpm::{HashAlgorithm, PcrValues, TaggedDigest};
use proptest::prelude::*;

use crate::support::boot::Boot;
use crate::support::ima::{Record, binary, digest, pcr_10, text};

fn exclude(patterns: &[&str]) -> RuleSet {
    let exclusions = patterns.iter().map(|pattern| PathPattern::new(pattern).unwrap()).collect();
    RuleSet { exclusions, ..RuleSet::default() }
}

fn allow(digests: impl IntoIterator<Item = FileDigest>) -> RuleSet {
    RuleSet { digests: digests.into_iter().collect(), ..RuleSet::default() }
}

fn of_contents(contents: &[u8]) -> FileDigest {
    format!("sha256:{}", HashAlgorithm::Sha256.digest(&[contents])).parse().unwrap()
}

fn find(set: RuleSet, log: &[u8]) -> Findings {
    find_with(set, log, &PcrValues::default())
}

fn find_with(set: RuleSet, log: &[u8], quoted: &PcrValues) -> Findings {
    let rules = Rules::new(set);
    let mut findings = Findings::new(&rules);
    findings.observe(&rules, BinaryLog::new(log), quoted);
    findings
}

/// Returns every digest in the log of a boot.
fn digests(boot: &Boot) -> BTreeSet<FileDigest> {
    let log = boot.read("ima_binary_runtime_measurements");
    BinaryLog::new(&log).filter_map(|entry| entry.unwrap().file_digest()).collect()
}

#[test]
fn digests_of_a_boot_explain_it_and_most_of_a_second_boot() {
    let good = Boot::named("x86-good");
    let log = good.read("ima_binary_runtime_measurements");
    let findings = find_with(allow(digests(&good)), &log, &good.pcrs());
    assert_eq!((findings.offending, findings.violations, findings.entries), (0, 0, 372));

    let second = Boot::named("x86-good-2nd-boot");
    let log = second.read("ima_binary_runtime_measurements");
    let findings = find_with(allow(digests(&good)), &log, &second.pcrs());
    // Each boot writes some files anew, such as the journal and the machine id.
    assert!(findings.offending < 10, "{:#?}", findings.offenders);
    assert_eq!(findings.by_digest + findings.offending, findings.entries);
}

#[test]
fn without_rules_every_entry_but_the_boot_aggregate_offends() {
    let boot = Boot::named("x86-good");
    let log = boot.read("ima_binary_runtime_measurements");
    let findings = find_with(RuleSet::default(), &log, &boot.pcrs());
    assert_eq!((findings.offending, findings.entries), (371, 372));
    assert_eq!(findings.offenders.len(), 32, "all are counted, but not all stored");
    let ascii = String::from_utf8(boot.read("ima_ascii_runtime_measurements")).unwrap();
    for offender in &findings.offenders {
        let line = ascii.lines().nth(usize::try_from(offender.line).unwrap() - 1).unwrap();
        assert!(
            line.contains(&format!(" {} {} ", offender.digest.as_ref().unwrap(), offender.path)),
            "{line}"
        );
        assert_eq!(offender.why, Why::Unknown);
    }
    let words = findings.offenders[0].to_string();
    assert!(words.starts_with("line 2 of the IMA log, /init: no rule allows its digest"), "{words}");
}

#[test]
fn the_boot_aggregate_must_match_the_quoted_pcrs() {
    for boot in Boot::all().into_iter().filter(|boot| boot.name.starts_with("x86")) {
        let log = boot.read("ima_binary_runtime_measurements");
        let quoted = boot.quoted_pcrs();
        let of = |pcrs: &PcrValues| find_with(exclude(&["/**"]), &log, pcrs).offenders;
        assert_eq!(of(&quoted), [], "{}", boot.name);
        let mut other = PcrValues::default();
        for (_, index, value) in quoted.iter() {
            let value = if index == 4 { value.extend(&[1; 32]) } else { *value };
            other.insert(index, value).unwrap();
        }
        let offenders = of(&other);
        assert_eq!((offenders.len(), offenders[0].line, offenders[0].why), (1, 1, Why::BootAggregate));
    }
}

#[test]
fn a_file_named_boot_aggregate_is_not_the_kernels_entry() {
    let boot = Boot::named("x86-good");
    let log = binary(&[Record::file(b"/a", b"a"), Record::file(b"boot_aggregate", b"bad")]);
    let findings = find_with(exclude(&["/a"]), &log, &boot.pcrs());
    assert_eq!(findings.offenders[0].why, Why::BootAggregate);
    // If the PCRs are unknown, only the first entry is accepted as the kernel's.
    let log = binary(&[Record::file(b"boot_aggregate", b"?"), Record::file(b"boot_aggregate", b"bad")]);
    let findings = find(RuleSet::default(), &log);
    assert_eq!((findings.offending, findings.offenders[0].line), (1, 2));
}

#[test]
fn each_rule_explains_by_itself() {
    let log = binary(&[
        Record::file(b"/usr/bin/good", b"good"),
        Record::file(b"/tmp/anything", b"?"),
        Record::file(b"/usr/bin/evil", b"evil"),
        Record { pcr: 12, ..Record::file(b"/elsewhere", b"?") },
        Record::violation(b"/tmp/log"),
    ]);
    let set = RuleSet { exclusions: exclude(&["/tmp/*"]).exclusions, ..allow([of_contents(b"good")]) };
    let findings = find(set, &log);
    assert_eq!((findings.by_digest, findings.excluded, findings.elsewhere), (1, 1, 1));
    assert_eq!((findings.offending, findings.offenders[0].line), (1, 3));
    // An exclusion does not apply to a violation, whose path is only a claim.
    assert_eq!((findings.violations, findings.violated[0].line), (1, 5));
}

#[test]
fn weak_hashes_and_unknown_templates_are_named_as_reasons() {
    let sha1 = Record::new("ima-ng", vec![digest("sha1:", b"good"), text(b"/usr/bin/good")]);
    let strange = Record::new("n-ng|d-ng", vec![text(b"/usr/bin/good"), digest("sha256:", b"good")]);
    let log = binary(&[sha1, strange]);
    let why: Vec<Why> =
        find(RuleSet::default(), &log).offenders.iter().map(|offender| offender.why).collect();
    assert_eq!(why, [Why::Algorithm, Why::Template]);
}

#[test]
fn findings_do_not_depend_on_the_pieces_of_the_log_and_can_be_stored() {
    let boot = Boot::named("armhf-on-arm64-kernel");
    let log = boot.read("ima_binary_runtime_measurements");
    let rules = Rules::new(exclude(&["/usr/**"]));
    let mut whole = Findings::new(&rules);
    whole.observe(&rules, BinaryLog::new(&log), &boot.pcrs());
    assert_eq!((whole.violations, whole.violated.len()), (4, 4));

    let ends: Vec<usize> = BinaryLog::new(&log).map(|entry| entry.unwrap().end).collect();
    let mut pieces = Findings::new(&rules);
    let mut start = 0;
    for end in ends.into_iter().step_by(37).chain([log.len()]) {
        pieces.observe(&rules, BinaryLog::new(&log[start..end]), &boot.pcrs());
        let kept = serde_json::to_vec(&pieces).unwrap();
        pieces = serde_json::from_slice(&kept).unwrap();
        start = end;
    }
    assert_eq!(pieces, whole);
    assert!(pieces.made_under(&rules));
}

#[test]
fn findings_identify_the_rules_that_made_them() {
    let rules = Rules::new(exclude(&["/a", "/b"]));
    let findings = Findings::new(&rules);
    assert!(findings.made_under(&Rules::new(exclude(&["/a", "/b"]))));
    for other in [exclude(&["/a"]), exclude(&["/a\nexclude 2 /b"]), allow([of_contents(b"x")])] {
        assert!(!findings.made_under(&Rules::new(other)));
    }
}

#[test]
fn findings_are_bounded_whatever_a_device_sends() {
    let records: Vec<Record> = (0..2000)
        .map(|number: u32| match number % 2 {
            0 => Record::file(&[b'/'; 4000], &number.to_le_bytes()),
            _ => Record::violation(&[0xff; 4000]),
        })
        .collect();
    let findings = find(RuleSet::default(), &binary(&records));
    assert_eq!((findings.offending, findings.violations), (1000, 1000));
    assert!(serde_json::to_vec(&findings).unwrap().len() < 64 * 1024);
}

/// From each log, evmctl (ima-evm-utils) and this crate compute the TPM's value of PCR 10.
#[test]
fn evmctl_agrees_on_every_anchored_log() {
    let folder = tempfile::tempdir().unwrap();
    for boot in Boot::all().into_iter().filter(|boot| boot.name.starts_with("x86")) {
        let listing = folder.path().join(&boot.name);
        let pcrs = boot.pcrs();
        let lines: String = pcrs
            .bank(HashAlgorithm::Sha256)
            .map(|(index, value)| format!("PCR-{index:02}: {value}\n"))
            .collect();
        std::fs::write(&listing, lines).unwrap();
        let log = boot.path("ima_binary_runtime_measurements");
        let theirs = evmctl_aggregate(&listing, &log);
        let mut ours = Aggregate::new(HashAlgorithm::Sha256);
        ours.absorb(BinaryLog::new(&std::fs::read(log).unwrap())).unwrap();
        let quoted = pcrs.get(HashAlgorithm::Sha256, IMA_PCR).unwrap();
        assert_eq!(theirs, quoted.to_string(), "{}", boot.name);
        assert_eq!(ours.value().to_string(), theirs, "{}", boot.name);
    }
}

/// Returns PCR 10 as evmctl computes it: after the prefix that matches, else after the whole log.
fn evmctl_aggregate(pcrs: &Path, log: &Path) -> String {
    let output = Command::new("evmctl")
        .args(["ima_measurement", "-v", "--pcrs"])
        .arg(format!("sha256,{}", pcrs.display()))
        .arg(log)
        .output()
        .unwrap_or_else(|error| panic!("evmctl of ima-evm-utils: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let line = printed.lines().find_map(|line| line.strip_prefix("sha256: PCRAgg  10: ")).unwrap();
    line.to_owned()
}

/// Returns entries of these files and violations, and the value of PCR 10 after them.
fn made(files: &[(u8, bool)]) -> (Vec<Record>, TaggedDigest) {
    let record = |(name, violation): &(u8, bool)| match violation {
        false => Record::file(format!("/bin/{name}").as_bytes(), &[*name]),
        true => Record::violation(format!("/bin/{name}").as_bytes()),
    };
    let records: Vec<Record> = files.iter().map(record).collect();
    let pcr = pcr_10(&records);
    (records, pcr)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Replaces entries by others: this omits, inserts, repeats or moves entries.
    #[test]
    fn a_spliced_log_is_not_anchored(
        files in proptest::collection::vec(any::<(u8, bool)>(), 1..12),
        others in proptest::collection::vec(any::<(u8, bool)>(), 0..12),
        at in 0..12_usize,
        end in 0..12_usize,
    ) {
        let (records, quoted) = made(&files);
        let (at, end) = (at.min(files.len()), end.clamp(at.min(files.len()), files.len()));
        let spliced = [&files[..at], &others[..], &files[end..]].concat();
        let (spliced, _) = made(&spliced);
        // What the kernel extends: the data of an entry, and the same value for all violations.
        let extended = |records: &[Record]| -> Vec<Option<Vec<u8>>> {
            records.iter().map(|record| (!record.violation).then(|| record.data())).collect()
        };
        let log = binary(&spliced);
        let outcome = Aggregate::new(HashAlgorithm::Sha256).advance(BinaryLog::new(&log), &quoted).unwrap();
        let anchored = matches!(outcome, Outcome::Anchored { .. });
        prop_assert_eq!(anchored, extended(&spliced).starts_with(&extended(&records)));
    }

    /// Follows a log in pieces of any size: the result is anchored if and only if that of the whole log is.
    #[test]
    fn a_log_in_pieces_is_anchored_exactly_if_the_whole_log_is(
        files in proptest::collection::vec(any::<(u8, bool)>(), 1..12),
        size in 1..200_usize,
        flipped in proptest::option::of((0..2000_usize, 0..8_u32)),
    ) {
        let (records, quoted) = made(&files);
        let mut log = binary(&records);
        if let Some((position, bit)) = flipped {
            let position = position % log.len();
            log[position] ^= 1 << bit;
        }
        let whole = Aggregate::new(HashAlgorithm::Sha256).advance(BinaryLog::new(&log), &quoted);
        let mut aggregate = Aggregate::new(HashAlgorithm::Sha256);
        let mut tail = Vec::new();
        let mut outcome = Ok(Outcome::Diverged);
        for piece in log.chunks(size) {
            tail.extend_from_slice(piece);
            outcome = aggregate.advance(BinaryLog::new(&tail), &quoted);
            if matches!(outcome, Ok(Outcome::Anchored { .. })) {
                break;
            }
            match aggregate.absorb(BinaryLog::new(&tail)) {
                Ok(consumed) => drop(tail.drain(..consumed)),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        let is_anchored = |outcome: &Result<Outcome, _>| matches!(outcome, Ok(Outcome::Anchored { .. }));
        prop_assert_eq!(is_anchored(&outcome), is_anchored(&whole));
    }

    #[test]
    fn no_bytes_make_the_rules_panic(
        data in proptest::collection::vec(any::<u8>(), 0..400),
        template in "ima|ima-ng|ima-sig|ima-buf|ima-modsig|evm-sig|d-ng[|]n-ng[|]sig|.{0,20}",
        pattern in "[*?/a]{1,20}",
    ) {
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let name = template.as_bytes();
        let log = [&10_u32.to_le_bytes()[..], &[1; 20], &size(name), name, &size(&data), &data].concat();
        if let Ok(pattern) = PathPattern::new(&pattern) {
            let set = RuleSet { exclusions: vec![pattern], ..RuleSet::default() };
            let findings = find(set, &log);
            prop_assert!(findings.offending + findings.excluded <= 1);
        }
    }
}
