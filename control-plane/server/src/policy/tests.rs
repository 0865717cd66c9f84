use std::fs;
use std::path::Path;

use pawl_evidence::appraise::policy::{Learnt, Policy};
use pawl_evidence::eventlog::EventLog;
use pawl_evidence::measure_log::MeasureLog;
use pawl_evidence::tpm::{HashAlgorithm, PcrSelection, TaggedDigest};
use pawl_proto::{DeviceId, Digest};
use tempfile::TempDir;

use super::*;
use crate::config::PolicyConfig;

const REQUIRE_SECURE_BOOT: &str = "[secure-boot]\nrequired = true\n";

#[test]
fn a_rendered_policy_parses_to_the_same_policy_and_has_a_sentence_for_its_images() {
    for boot in ["x86-good", "x86-secureboot-on", "x86-shim-grub-ms", "arm64-good", "armhf-on-arm64-kernel"] {
        let learnt = learn(boot);
        let rendered = render(&learnt, &heading(device(1), Some("gate \"4\"\n[boot]"), None));
        let learnt = learnt.policy;
        let read: Policy = toml::from_str(&rendered).unwrap_or_else(|error| panic!("{error}\n{rendered}"));
        assert_eq!(read, learnt, "{boot}: {rendered}");
        let rules: Vec<String> = sentences(&read).into_iter().map(|(rule, _)| rule).collect();
        assert!(
            rules.iter().any(|rule| ["boot.images", "boot.unified-images"].contains(&rule.as_str())),
            "{rules:?}"
        );
    }
}

#[test]
fn each_entry_of_a_learnt_policy_names_its_line_in_the_log() {
    let rendered = render(&learn("x86-shim-grub-ms"), "");
    let entries: Vec<&str> = rendered.lines().filter(|line| line.starts_with("    ")).collect();
    assert!(entries.len() > 20, "{rendered}");
    for entry in entries {
        let (_, line) = entry.rsplit_once("line ").unwrap_or_else(|| panic!("{entry}"));
        assert!(line.starts_with(|digit: char| digit.is_ascii_digit()), "{entry}");
    }
}

#[test]
fn every_key_is_rendered() {
    let digest = "ab".repeat(32);
    let list = format!("[{{ digest = \"{digest}\", name = \"x\" }}]");
    let written = format!(
        "freshness.max-age = 9\nboot-log.required = false\n\
         [secure-boot]\nrequired = false\nplatform-keys = {list}\nkey-exchange-keys = {list}\n\
         allowed-signatures = {list}\nforbidden-signatures = {list}\nsigners = {list}\nmachine-owner-keys = {list}\n\
         [firmware]\nversions = ['1.0 \"b\"']\naccept-any-version = true\ncontents = {list}\naccept-any-content = true\n\
         [boot]\nimages = {list}\naccept-signed-images = true\ncommand-lines = ['root=* \\? quiet']\n\
         command-line-digests = {list}\ninitrds = {list}\nloader-commands = ['set a=b']\nfiles = {list}\n\
         [pcr.5]\nunexplained = 'warn'\ndigests = {list}\nvalues = ['{digest}']\nunlogged = ['{digest}']\n\
         [nvpcr.0x1d10200]\nunexplained = 'warn'\ndigests = {list}\nvalues = ['{digest}']\nindex-names = ['000b{digest}']\n\
         [ima]\nrequire-anchored = false\nunexplained = 'allow'\nviolations = 'refuse'\n\
         digest-files = ['a']\nsigner-files = ['b']\nexclusions = ['/var/**']\n"
    );
    let policy: Policy = toml::from_str(&written).unwrap();
    let rendered = render(&Learnt { policy: policy.clone(), ..Learnt::default() }, "");
    assert_eq!(toml::from_str::<Policy>(&rendered).unwrap(), policy, "{rendered}");
    assert_ne!(policy, Policy::default());
    let rules = sentences(&policy);
    let about = rules.iter().filter(|(rule, _)| rule.starts_with("nvpcr.0x1d10200")).count();
    assert_eq!(about, 5, "{rules:?}");
}

#[test]
fn the_nvpcrs_of_a_device_are_learnt_as_commented_out_sections() {
    let boot =
        |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/forky-good").join(name);
    let (log, measured) =
        (fs::read(boot("binary_bios_measurements")).unwrap(), fs::read(boot("tpm2-measure.log")).unwrap());
    let firmware = EventLog::parse(&log).unwrap().replay().unwrap();
    let mut pcrs = MeasureLog::parse(&measured).unwrap().replay(&firmware);
    pcrs.insert(8, TaggedDigest::filled(HashAlgorithm::Sha256, 0)).unwrap();
    let learnt = Learnt::from_boot(&log, Some(&measured), &pcrs, &PcrSelection::lease_default()).unwrap();
    let rendered = render(&learnt, "");
    assert!(learnt.policy.nvpcr.is_empty() && learnt.nvpcrs.len() == 4, "{learnt:?}");
    assert_eq!(toml::from_str::<Policy>(&rendered).unwrap(), learnt.policy, "{rendered}");
    let (_, sections) = rendered.split_once("# [nvpcr.").unwrap();
    let sections: String = format!("# [nvpcr.{sections}")
        .lines()
        .map(|line| format!("{}\n", line.trim_start_matches("# ")))
        .collect();
    let uncommented: Policy = toml::from_str(&sections).unwrap_or_else(|error| panic!("{error}\n{sections}"));
    assert_eq!(
        uncommented.nvpcr.keys().map(|index| index.get()).collect::<Vec<_>>(),
        [0x01d1_0200, 0x01d1_0201, 0x01d1_0202, 0x01d1_0203]
    );
    assert!(uncommented.nvpcr.values().all(|section| section.index_names.len() == 1));
}

#[test]
fn a_verdict_asks_for_as_many_nvpcrs_as_a_policy_names() {
    assert_eq!(pawl_evidence::appraise::policy::NVPCRS_MAX, pawl_proto::limits::NVPCRS);
}

#[test]
fn an_error_names_its_file() {
    let wrong = [
        ("default.toml", "[boot]\nimage = []\n", "`image`"),
        ("default.toml", "[boot]\nimages = [{ digest = 'abc' }]\n", "64 hexadecimal digits"),
        ("default.toml", "[pcr.24]\n", "pcr.24"),
        ("default.toml", "[boot]\ncommand-lines = ['quiet *']\n", "in the name of a parameter"),
        ("default.toml", "[boot]\nloader-commands = ['* quiet']\n", "the name of a command"),
        ("default.toml", "[ima]\nviolations = 'ignore'\n", "refuse"),
        ("default.toml", "[ima]\nexclusions = ['***']\n", "***"),
        ("default.toml", "[ima]\ndigest-files = ['missing']\n", "missing"),
        ("gate-4.toml", "", "after a device"),
    ];
    for (name, text, expected) in wrong {
        let directory = directory(&[(name, text)]);
        let error = Policies::open(config(&directory)).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains(name) || expected == "missing", "{error}");
    }
}

#[test]
fn a_device_is_judged_by_its_own_file_else_by_the_default() {
    let own = format!("{}.toml", device(1));
    let files = [(own.as_str(), "# its own\n"), ("default.toml", REQUIRE_SECURE_BOOT), ("notes.txt", "?")];
    let policies = Policies::open(config(&directory(&files))).unwrap();
    assert_eq!(policies.of(device(1)).unwrap().digest, Digest::of(b"# its own\n"));
    assert_eq!(policies.of(device(2)).unwrap().digest, Digest::of(REQUIRE_SECURE_BOOT.as_bytes()));
}

#[test]
fn a_missing_directory_is_an_error_only_if_it_is_configured() {
    let directory = tempfile::tempdir().unwrap();
    let named: PolicyConfig =
        toml::from_str(&format!("directory = {:?}", directory.path().join("policies"))).unwrap();
    assert!(Policies::open(named).is_err());
    assert!(Policies::open(PolicyConfig::default()).unwrap().of(device(1)).is_none());
}

#[test]
fn a_reload_takes_all_files_or_none() {
    let directory = directory(&[("default.toml", "")]);
    let policies = Policies::open(config(&directory)).unwrap();
    fs::write(directory.path().join("default.toml"), REQUIRE_SECURE_BOOT).unwrap();
    let own = directory.path().join(format!("{}.toml", device(1)));
    fs::write(&own, "required = true").unwrap();
    assert!(policies.reload().is_err());
    assert_eq!(policies.of(device(1)).unwrap().digest, Digest::of(b""));
    fs::remove_file(own).unwrap();
    assert_eq!(policies.reload().unwrap(), 1);
    assert_eq!(policies.of(device(1)).unwrap().digest, Digest::of(REQUIRE_SECURE_BOOT.as_bytes()));
}

#[test]
fn the_digest_of_a_policy_covers_its_lists_of_digests() {
    let text = "[ima]\ndigest-files = ['base.txt']\n";
    let list = format!("# base\n\n{}  /usr/bin/true\n", "ab".repeat(32));
    let directory = directory(&[("default.toml", text), ("base.txt", &list)]);
    let read = || super::read(&directory.path().join("default.toml"));
    let first = read().unwrap();
    assert_eq!(first.ima.as_ref().unwrap().set().digests.len(), 1);
    let parts = [Digest::of(text.as_bytes()).0, Digest::of(list.as_bytes()).0].concat();
    assert_eq!(first.digest, Digest::of(&parts));

    fs::write(directory.path().join("base.txt"), format!("{list}not a digest\n")).unwrap();
    let error = read().unwrap_err().to_string();
    assert!(error.contains("base.txt: line 4"), "{error}");
}

fn learn(boot: &str) -> Learnt {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(boot);
    let log = fs::read(folder.join("binary_bios_measurements")).unwrap();
    let mut pcrs = EventLog::parse(&log).unwrap().replay().unwrap();
    for untouched in 0..=14 {
        if pcrs.get(HashAlgorithm::Sha256, untouched).is_none() {
            pcrs.insert(untouched, TaggedDigest::filled(HashAlgorithm::Sha256, 0)).unwrap();
        }
    }
    Learnt::from_boot(&log, None, &pcrs, &PcrSelection::lease_default()).unwrap()
}

fn device(number: u8) -> DeviceId {
    DeviceId::from_digest([number; 32])
}

fn config(directory: &TempDir) -> PolicyConfig {
    toml::from_str(&format!("directory = {:?}", directory.path())).unwrap()
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}
