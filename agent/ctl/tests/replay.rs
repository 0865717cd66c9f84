//! `pawlctl replay` with the logs of real machines. Compares the results with the PCRs of those machines.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Run, pawlctl};
use pawl_evidence::ima::{Aggregate, BinaryLog, Outcome};
use pawl_evidence::tpm::{HashAlgorithm, TaggedDigest};

type Banks = BTreeMap<String, BTreeMap<u8, String>>;

fn boots() -> impl Iterator<Item = PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("binary_bios_measurements").exists())
}

fn replay(arguments: &[&str]) -> Run {
    pawlctl(Path::new("/nowhere"), &[&["replay"], arguments].concat())
}

/// Parses the output of `tpm2_pcrread`: banks, each followed by its PCRs.
fn pcrread(text: &str) -> Banks {
    let mut banks = Banks::new();
    let mut bank = String::new();
    for line in text.lines() {
        match line.split_once(": 0x") {
            Some((index, value)) => {
                let values = banks.entry(bank.clone()).or_default();
                values.insert(index.trim().parse().unwrap(), value.to_ascii_lowercase());
            }
            None => bank = line.trim().trim_end_matches(':').to_owned(),
        }
    }
    banks
}

#[test]
fn the_boot_log_explains_the_pcrs_of_every_machine() {
    let mut compared = 0;
    for boot in boots() {
        let (log, measured) = (boot.join("binary_bios_measurements"), boot.join("tpm2-measure.log"));
        let mut arguments = vec![log.to_str().unwrap(), "--json"];
        if measured.exists() {
            arguments.extend(["--measure-log", measured.to_str().unwrap()]);
        }
        let run = replay(&arguments);
        assert_eq!(run.code, 0, "{run:?}");
        let replayed: Banks = serde_json::from_str(&run.stdout).unwrap();
        let read = pcrread(&fs::read_to_string(boot.join("pcrread.txt")).unwrap());
        assert_eq!(replayed.keys().collect::<Vec<_>>(), read.keys().collect::<Vec<_>>());
        for (bank, values) in &replayed {
            // Old versions of systemd extend PCR 11 while the system runs, without a log.
            for (index, value) in values.iter().filter(|(index, _)| **index != 11 || measured.exists()) {
                assert_eq!(value, &read[bank][index], "{}: {bank} {index}", boot.display());
                compared += 1;
            }
        }
    }
    assert!(compared > 200, "{compared} values were compared");
}

#[test]
fn a_log_of_unknown_banks_fails_and_names_them() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/cases");
    let run = replay(&[cases.join("banks-sm3-only.bin").to_str().unwrap(), "--json"]);
    assert_eq!((run.code, run.json()["error"].as_str()), (1, Some("boot-log")), "{run:?}");
    assert!(run.json()["reason"].as_str().unwrap().contains("sm3_256"), "{run:?}");

    let run = replay(&[cases.join("pad-zero-sha1-log.bin").to_str().unwrap()]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (0, "sha1     0  62a8be73f52341f21e3ed70ee603b508235dffe8\n")
    );
}

/// Returns the part of an IMA log that had been extended when the PCRs were read, without later entries.
fn read_with_the_pcrs(log: &[u8], pcr10: &str) -> Vec<u8> {
    let digits: Vec<_> = pcr10.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
    let bytes: Vec<_> = digits.iter().map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect();
    let quoted = TaggedDigest::new(HashAlgorithm::Sha256, &bytes).unwrap();
    match Aggregate::new(HashAlgorithm::Sha256).advance(BinaryLog::new(log), &quoted).unwrap() {
        Outcome::Anchored { consumed, .. } => log[..consumed].to_vec(),
        outcome => panic!("{outcome:?}"),
    }
}

#[test]
fn an_ima_log_explains_pcr_10() {
    let directory = tempfile::tempdir().unwrap();
    let (binary, ascii) = (directory.path().join("binary"), directory.path().join("ascii"));
    let mut compared = 0;
    for boot in boots() {
        let read = pcrread(&fs::read_to_string(boot.join("pcrread.txt")).unwrap());
        if read["sha256"][&10].bytes().all(|digit| digit == b'0') {
            continue; // IMA found no TPM.
        }
        let Ok(log) = fs::read(boot.join("ima_binary_runtime_measurements")) else { continue };
        let log = read_with_the_pcrs(&log, &read["sha256"][&10]);
        let lines = BinaryLog::new(&log).count();
        fs::write(&binary, log).unwrap();
        let text = fs::read_to_string(boot.join("ima_ascii_runtime_measurements")).unwrap();
        let text: String = text.split_inclusive('\n').take(lines).collect();
        fs::write(&ascii, text).unwrap();
        for ima in [&binary, &ascii] {
            let boot_log = boot.join("binary_bios_measurements");
            let run = replay(&[boot_log.to_str().unwrap(), "--ima", ima.to_str().unwrap(), "--json"]);
            assert_eq!(run.code, 0, "{run:?}");
            let replayed: Banks = serde_json::from_str(&run.stdout).unwrap();
            for bank in ["sha1", "sha256"] {
                assert_eq!(replayed[bank][&10], read[bank][&10], "{}: {bank}", boot.display());
            }
            assert!(!replayed["sha384"].contains_key(&10));
            compared += 1;
        }
    }
    assert!(compared >= 8, "{compared} logs were replayed");
}

#[test]
fn a_truncated_ima_log_is_reported_with_its_offset() {
    let boot = boots().next().unwrap();
    let log = fs::read(boot.join("ima_binary_runtime_measurements")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ima");
    fs::write(&path, &log[..log.len() - 1]).unwrap();
    let boot_log = boot.join("binary_bios_measurements");
    let run = replay(&[boot_log.to_str().unwrap(), "--ima", path.to_str().unwrap()]);
    assert!(run.code == 1 && run.stderr.contains("cut off inside the entry at offset"), "{run:?}");
}

#[test]
fn people_get_a_table() {
    let boot = boots().next().unwrap();
    let run = replay(&[boot.join("binary_bios_measurements").to_str().unwrap()]);
    assert!(run.stdout.lines().all(|line| line.split_whitespace().count() == 3), "{run:?}");
    assert!(run.stdout.starts_with("sha1     0  "), "{run:?}");
}

#[test]
fn a_log_that_cannot_be_replayed_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let run = replay(&[path.to_str().unwrap()]);
    assert!(run.code == 1 && run.stderr.contains("cannot read"), "{run:?}");

    fs::write(&path, "").unwrap();
    let run = replay(&[path.to_str().unwrap(), "--json"]);
    assert_eq!((run.code, run.json()["error"].as_str()), (1, Some("boot-log")));

    let boot = boots().next().unwrap();
    let log = fs::read(boot.join("binary_bios_measurements")).unwrap();
    fs::write(&path, &log[..log.len() - 1]).unwrap();
    let run = replay(&[path.to_str().unwrap()]);
    assert!(run.code == 1 && run.stderr.contains("cut off inside the event at offset"), "{run:?}");

    fs::write(&path, vec![0; 2 * 1024 * 1024]).unwrap();
    assert_eq!(replay(&[path.to_str().unwrap()]).code, 1);
}
