//! IMA lists for single banks (such as `binary_runtime_measurements_sha256`), and lists with unsupported hashes.

use std::path::Path;

use pawl_evidence::ima::{Aggregate, AsciiLog, BinaryLog, ImaError, Outcome};
use pawl_evidence::tpm::HashAlgorithm;

use crate::support::boot::read_pcr_listing;
use crate::support::ima::{Record, pcr_10_of};

use HashAlgorithm::{Sha1, Sha256, Sha384, Sha512};

fn records() -> [Record; 4] {
    let mut other_pcr = Record::file(b"/x", b"x");
    other_pcr.pcr = 11;
    [
        Record::file(b"boot_aggregate", b""),
        Record::violation(b"/v"),
        other_pcr,
        Record::file(b"/bin/sh", b"sh"),
    ]
}

#[test]
fn a_list_for_any_bank_accounts_for_every_bank() {
    for list in [Sha1, Sha256, Sha384, Sha512] {
        let binary: Vec<u8> = records().iter().flat_map(|record| record.binary_for(list)).collect();
        let ascii: Vec<u8> = records().iter().flat_map(|record| record.ascii_for(list)).collect();
        assert!(BinaryLog::new(&binary).all(|entry| entry.unwrap().list_hash() == list));
        for bank in [Sha1, Sha256, Sha384] {
            let quoted = pcr_10_of(&records(), bank);
            let mut from_binary = Aggregate::new(bank);
            let outcome = from_binary.advance(BinaryLog::new(&binary), &quoted).unwrap();
            assert_eq!(outcome, Outcome::Anchored { consumed: binary.len(), padded: false }, "{list} {bank}");
            let mut from_ascii = Aggregate::new(bank);
            from_ascii.advance(AsciiLog::new(&ascii), &quoted).unwrap();
            assert_eq!(from_binary, from_ascii, "{list} {bank}");
            assert_eq!((from_binary.entries(), from_binary.violations()), (3, 1));
        }
    }
}

#[test]
fn the_hash_of_a_list_is_found_from_any_entry() {
    for list in [Sha1, Sha256, Sha384] {
        for record in records() {
            let entry = record.binary_for(list);
            let read = BinaryLog::new(&entry).next().unwrap().unwrap();
            assert_eq!((read.list_hash(), read.end), (list, entry.len()), "{:?}", record.template);
            for cut in 4 + list.digest_len()..entry.len() {
                let cut = BinaryLog::new(&entry[..cut]).next().unwrap();
                assert!(matches!(cut, Err(ImaError::Truncated { offset: 0 })), "{cut:?}");
            }
        }
    }
}

/// Linux 7.2: the list for each bank is extended with that bank's hash.
#[test]
fn the_lists_of_a_kernel_that_keeps_one_for_each_bank_account_for_pcr_10() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/forky-good");
    let pcrs = read_pcr_listing(&std::fs::read_to_string(folder.join("pcrread.txt")).unwrap());
    for list in [Sha256, Sha384] {
        let log = std::fs::read(folder.join(format!("ima_binary_runtime_measurements_{list}"))).unwrap();
        for bank in [Sha1, Sha256, Sha384] {
            let quoted = pcrs.get(bank, 10).unwrap();
            let outcome = Aggregate::new(bank).advance(BinaryLog::new(&log), quoted).unwrap();
            assert!(matches!(outcome, Outcome::Anchored { padded: false, .. }), "{list} {bank}: {outcome:?}");
        }
    }
}

/// A list of SM3 digests has entries of the size of SHA-256's.
#[test]
fn a_list_with_an_unsupported_hash_is_refused_with_the_reason() {
    let mut log = records()[0].binary_for(Sha256);
    log[4..36].fill(0x5a);
    let error = Aggregate::new(Sha256).absorb(BinaryLog::new(&log)).unwrap_err();
    assert_eq!(error, ImaError::Hash { offset: 0, expected: Sha256 });
    assert!(error.to_string().contains("such as SM3"), "{error}");

    let text = String::from_utf8(records()[0].ascii_for(Sha256)).unwrap();
    let (before, rest) = text.split_at(3);
    let text = [before, &"5a".repeat(32), rest.split_at(64).1].concat();
    let error = Aggregate::new(Sha256).absorb(AsciiLog::new(text.as_bytes())).unwrap_err();
    assert_eq!(error, ImaError::Hash { offset: 0, expected: Sha256 });

    let mut log = records()[0].binary();
    log[4..24].fill(0x5a);
    let error = Aggregate::new(Sha256).absorb(BinaryLog::new(&log)).unwrap_err();
    assert_eq!(error, ImaError::Altered { offset: 0 });
}
