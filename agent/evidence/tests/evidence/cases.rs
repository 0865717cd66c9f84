//! Logs of firmware that deviates from the specification (`tests/fixtures/cases`), and their expected results.

use std::fs;
use std::path::PathBuf;

use pawl_evidence::eventlog::{EventKind, EventLog, EventLogError, Fact, NO_PCR, Tie};
use pawl_evidence::tpm::{HashAlgorithm, PcrValues, TaggedDigest};

use crate::support::boot::{Boot, cases, from_hex};
use crate::support::log::{LogWriter, sha1_event, spec_id_header};

use HashAlgorithm::{Sha1, Sha256, Sha384};

/// Each file that replays, with the expected value of one PCR. `tpm2_eventlog` computed it from a log without the
/// deviation, or a second program computed it.
const REPLAYED: [(&str, HashAlgorithm, u8, &str); 9] = [
    (
        "banks-sha384-only.bin",
        Sha384,
        0,
        "d6d044e6175ec2745702ff023649af3ad75e4ec90482cc7b25524bad5a2fb2d43dfc74982bcdfb2e4a7b559e64cf3c42",
    ),
    (
        "no-action-pcr-minus1.bin",
        Sha256,
        0,
        "8ef6ad0ee4f8e7512a112edf84f27499b88e1726964ca7dfd50e9df7854834d8",
    ),
    ("pad-zero-16.bin", Sha256, 0, "3e695b1035f9b7fa5ade7430fc93730efab93bcb6c0a843cdab260323f7734c4"),
    ("pad-zero-7.bin", Sha256, 0, "3e695b1035f9b7fa5ade7430fc93730efab93bcb6c0a843cdab260323f7734c4"),
    ("pad-zero-sha1-log.bin", Sha1, 0, "62a8be73f52341f21e3ed70ee603b508235dffe8"),
    (
        "specid-vendor-outside.bin",
        Sha256,
        0,
        "8ef6ad0ee4f8e7512a112edf84f27499b88e1726964ca7dfd50e9df7854834d8",
    ),
    (
        "startup-locality-twice-same.bin",
        Sha256,
        0,
        "8dbdcd187e0dc2699f0f7e5632d87bc874835debce40f01e868efcdeefca767b",
    ),
    ("uboot-bootm-real.bin", Sha256, 1, "48c495c3586fe47d6adad5a0273316b2ea4d163ee718af59779647c7e7ccc8c2"),
    (
        "uboot-bootm-real-cmdline-changed.bin",
        Sha256,
        1,
        "7428f3d84dcc1f6dde335432fbef51ddd2af79a3540c717d009ad9c41d423c12",
    ),
];

#[test]
fn every_case_replays_to_the_expected_pcr_or_is_refused_with_the_reason() {
    let mut seen = 0;
    for (name, path) in cases().filter(|(name, _)| name.ends_with(".bin")) {
        let bytes = fs::read(&path).unwrap();
        let replayed = EventLog::parse(&bytes).and_then(|log| log.replay());
        seen += 1;
        if name == "banks-sm3-only.bin" {
            assert_eq!(replayed, Err(EventLogError::UnknownBanks { listed: vec![0x12] }));
            continue;
        }
        let (_, bank, pcr, value) = REPLAYED.iter().find(|(known, ..)| *known == name).unwrap();
        assert_eq!(replayed.unwrap().get(*bank, *pcr).unwrap().to_string(), *value, "{name}");
    }
    assert_eq!(seen, REPLAYED.len() + 1);
}

#[test]
fn the_refusal_of_a_log_with_only_unknown_banks_names_them() {
    let log = case("banks-sm3-only.bin");
    let error = EventLog::parse(&log).unwrap_err().to_string();
    assert!(error.contains("no digests but sm3_256") && error.contains("enable the sha256"), "{error}");
    let two = EventLog::parse(&spec_id_header(&[(0x0027, 32), (0x7777, 20)])).unwrap_err().to_string();
    assert!(two.contains("sha3_256, algorithm 0x7777"), "{two}");
}

#[test]
fn padding_of_zeros_or_ones_ends_a_log_of_either_format() {
    let agile = Boot::named("x86-good").event_log();
    let old = [sha1_event(4, 4, &[7; 20], &[0; 4]), sha1_event(7, 4, &[9; 20], &[0; 4])].concat();
    for log in [agile, old] {
        let whole = replay(&log);
        for padding in [0x00, 0xff] {
            for len in [1, 7, 16, 31, 32, 4096, 64 * 1024, 256 * 1024] {
                let padded = [&log[..], &vec![padding; len]].concat();
                assert_eq!(replay(&padded), whole, "{len} bytes of {padding:#x}");
            }
        }
        // Events after padding are not part of the log, as in Linux.
        let hidden = [&log[..], &[0; 64], &log[..]].concat();
        assert_eq!(replay(&hidden), whole);
    }
    for padding in [0x00, 0xff] {
        assert_eq!(EventLog::parse(&[padding; 4096]).unwrap_err(), EventLogError::Empty);
    }
}

#[test]
fn an_extending_event_must_name_an_existing_pcr() {
    for pcr in [24, 0xffff_ffff] {
        let log = LogWriter::new().extended(pcr, EventKind::NO_ACTION, &[0; 32], b"SP800-155 Event3").bytes();
        let log = EventLog::parse(&log).unwrap();
        let [event] = &log.facts().unwrap()[..] else { panic!() };
        assert_eq!((event.pcr, &event.fact, event.digest), (NO_PCR, &Fact::Unmeasured, None));
        assert!(event.to_string().starts_with("line 1, no PCR: "), "{event}");
        assert_eq!(log.replay(), Ok(PcrValues::default()));

        let log = LogWriter::new().event(pcr, EventKind::EFI_ACTION, b"x").bytes();
        assert!(
            matches!(EventLog::parse(&log).unwrap().replay(), Err(EventLogError::Pcr { pcr: refused, .. })
            if refused == pcr)
        );
    }
}

#[test]
fn a_startup_locality_that_changes_is_refused() {
    let locality = |number: u8| sha1_event(0, 3, &[0; 20], &[b"StartupLocality\0", &[number][..]].concat());
    let measured = sha1_event(0, 8, &[7; 20], b"firmware");
    let once = [locality(3), measured.clone()].concat();
    for same in [
        [locality(3), locality(3), measured.clone()].concat(),
        [locality(3), measured.clone(), locality(3)].concat(),
    ] {
        assert_eq!(replay(&same), replay(&once));
    }
    for other in [
        [locality(3), locality(4), measured.clone()].concat(),
        [locality(3), measured.clone(), locality(0)].concat(),
        [measured, locality(3)].concat(),
    ] {
        let replayed = EventLog::parse(&other).unwrap().replay();
        assert!(matches!(replayed, Err(EventLogError::StartupLocality { .. })), "{replayed:?}");
    }
}

#[test]
fn vendor_data_after_the_header_event_is_skipped() {
    let log = case("specid-vendor-outside.bin");
    let events = EventLog::parse(&log).unwrap().events().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(events[0].kind, EventKind::S_CRTM_VERSION);
    // Vendor data with a size beyond the end of the log is refused.
    let mut cut = spec_id_header(&[(0x000b, 32)]);
    *cut.last_mut().unwrap() = 9;
    assert_eq!(EventLog::parse(&cut).unwrap_err(), EventLogError::Header);
}

#[test]
fn grub_texts_without_a_colon_are_decoded() {
    let text = "set pager=1";
    let line = "/vmlinuz root=/dev/sda1 ro";
    for (data, content, fact) in [
        (format!("grub_cmd {text}\0"), format!("{text}\0"), Fact::LoaderCommand(text.to_owned())),
        (format!("grub_cmd: {text}\0"), text.to_owned(), Fact::LoaderCommand(text.to_owned())),
        (format!("grub_kernel_cmdline {line}\0"), line.to_owned(), Fact::CommandLine(line.to_owned())),
        (format!("kernel_cmdline: {line}\0"), line.to_owned(), Fact::CommandLine(line.to_owned())),
    ] {
        let log = LogWriter::new().measured(8, EventKind::IPL, content.as_bytes(), data.as_bytes()).bytes();
        let facts = EventLog::parse(&log).unwrap();
        let [event] = &facts.facts().unwrap()[..] else { panic!("{data}") };
        assert_eq!((&event.fact, event.tie), (&fact, Tie::Digest), "{data}");
    }
    for data in ["grub_kernel_cmdline quiet init=/bin/sh\0", "grub_cmd reboot\0"] {
        let log = LogWriter::new().measured(8, EventKind::IPL, b"quiet", data.as_bytes()).bytes();
        let facts = EventLog::parse(&log).unwrap();
        assert_eq!(facts.facts().unwrap()[0].tie, Tie::Claim, "{data}");
    }
}

#[test]
fn a_byte_after_the_name_of_shims_list_is_ignored() {
    let log = LogWriter::new().measured(14, EventKind::IPL, b"keys", b"MokList\0\xaf").bytes();
    let log = EventLog::parse(&log).unwrap();
    let [event] = &log.facts().unwrap()[..] else { panic!() };
    assert_eq!(event.fact, Fact::MachineOwnerKeys { name: "MokList".to_owned() });
    assert_eq!((event.tie, event.digest), (Tie::Digest, Some(Sha256.digest(&[b"keys"]))));
}

/// The PCRs of a system with systemd 261 are the firmware's values, extended with one os-separator.
#[test]
fn the_os_separator_case_is_the_good_boot_with_one_more_event() {
    let text = fs::read_to_string(cases().find(|(name, _)| name.ends_with(".json")).unwrap().1).unwrap();
    let after: std::collections::BTreeMap<u8, String> = serde_json::from_str(&text).unwrap();
    let before = Boot::named("x86-good").pcrs();
    let separator = Sha256.digest(&[b"os-separator"]);
    for pcr in [0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14] {
        let expected = before.get(Sha256, pcr).unwrap().extend(separator.as_bytes());
        assert_eq!(TaggedDigest::new(Sha256, &from_hex(&after[&pcr])), Some(expected), "PCR {pcr}");
    }
}

fn replay(log: &[u8]) -> PcrValues {
    EventLog::parse(log).unwrap().replay().unwrap()
}

fn case(name: &str) -> Vec<u8> {
    let path: PathBuf = cases().find(|(known, _)| known == name).unwrap().1;
    fs::read(path).unwrap()
}
