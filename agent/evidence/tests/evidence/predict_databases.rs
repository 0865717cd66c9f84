//! Predictions of PCR 7 after a change of a Secure Boot variable.

use pawl_evidence::eventlog::{
    DatabaseChange, DatabaseName, EventLog, Fact, PredictError, predict_databases,
};
use pawl_evidence::tpm::{HashAlgorithm, TaggedDigest};

use crate::support::boot::Boot;

const MICROSOFT: &str = "x86-shim-grub-ms";

#[test]
fn the_present_contents_predict_the_present_pcrs() {
    for name in ["x86-secureboot-on", MICROSOFT] {
        let log = Boot::named(name).event_log();
        let log = EventLog::parse(&log).unwrap();
        let (db, dbx) = (content(&log, DatabaseName::Allowed), content(&log, DatabaseName::Forbidden));
        let changes = [DatabaseChange::allowed(&db.1).unwrap(), DatabaseChange::forbidden(&dbx.1).unwrap()];
        assert_eq!(
            predict_databases(&log, HashAlgorithm::Sha256, &changes).unwrap(),
            log.replay().unwrap(),
            "{name}"
        );
    }
}

/// Compares the prediction with the digests that another machine's firmware measured for the same contents.
#[test]
fn other_contents_change_only_pcr_7_and_as_firmware_measures_them() {
    let (present, other) = (Boot::named("x86-secureboot-on").event_log(), Boot::named(MICROSOFT).event_log());
    let (present, other) = (EventLog::parse(&present).unwrap(), EventLog::parse(&other).unwrap());
    let mut changes = Vec::new();
    let mut replaced = Vec::new();
    for (which, change) in [
        (DatabaseName::Allowed, DatabaseChange::allowed as fn(&[u8]) -> Option<DatabaseChange>),
        (DatabaseName::Forbidden, DatabaseChange::forbidden),
    ] {
        let (number, lists) = content(&other, which);
        changes.push(change(&lists).unwrap());
        replaced.push((content(&present, which).0, number));
    }
    let predicted = predict_databases(&present, HashAlgorithm::Sha256, &changes).unwrap();
    let before = present.replay().unwrap();
    for bank in [HashAlgorithm::Sha1, HashAlgorithm::Sha256, HashAlgorithm::Sha384] {
        let theirs: Vec<_> = other
            .events()
            .map(|event| *event.unwrap().digest(bank).unwrap_or(&TaggedDigest::filled(bank, 0)))
            .collect();
        let mut pcr = TaggedDigest::filled(bank, 0);
        for (number, event) in (1..).zip(present.events()) {
            let event = event.unwrap();
            if event.pcr != 7 {
                continue;
            }
            let by = replaced.iter().find(|(present, _)| *present == number);
            let digest = by.map_or(*event.digest(bank).unwrap(), |(_, other)| theirs[other - 1]);
            pcr = pcr.extend(digest.as_bytes());
        }
        assert_eq!(predicted.get(bank, 7), Some(&pcr), "{bank}");
        assert_ne!(predicted.get(bank, 7), before.get(bank, 7));
        for (index, value) in before.bank(bank).filter(|(index, _)| *index != 7) {
            assert_eq!(predicted.get(bank, index), Some(value), "PCR {index}");
        }
    }
}

#[test]
fn a_variable_is_read_with_and_without_its_attributes() {
    let log = Boot::named(MICROSOFT).event_log();
    let (_, db) = content(&EventLog::parse(&log).unwrap(), DatabaseName::Allowed);
    let plain = DatabaseChange::allowed(&db).unwrap();
    assert!(plain.entries() >= 2);
    let with_attributes = [&0x27_u32.to_le_bytes()[..], &db].concat();
    assert_eq!(DatabaseChange::allowed(&with_attributes), Some(plain.clone()));
    assert_ne!(DatabaseChange::forbidden(&db).unwrap(), plain);
    for wrong in [&db[..db.len() - 1], b"-----BEGIN CERTIFICATE-----", &vec![0; DatabaseChange::MAX_LEN + 1]]
    {
        assert_eq!(DatabaseChange::allowed(wrong), None);
    }
}

#[test]
fn a_log_without_the_variable_allows_no_prediction() {
    let log = Boot::named(MICROSOFT).event_log();
    let (_, db) = content(&EventLog::parse(&log).unwrap(), DatabaseName::Allowed);
    let change = DatabaseChange::allowed(&db).unwrap();
    let empty = crate::support::log::LogWriter::new().separator(7).bytes();
    let refused = predict_databases(&EventLog::parse(&empty).unwrap(), HashAlgorithm::Sha256, &[change]);
    assert_eq!(refused, Err(PredictError::NoDatabase("db")));
}

/// Returns the line of the variable's event, and its content.
fn content(log: &EventLog<'_>, which: DatabaseName) -> (usize, Vec<u8>) {
    let facts = log.facts().unwrap();
    let is_it =
        |fact: &Fact<'_>| matches!(fact, Fact::SignatureDatabase(database) if database.which == which);
    let number = facts.iter().find(|event| is_it(&event.fact)).unwrap().number;
    let event = log.events().nth(number - 1).unwrap().unwrap();
    // UEFI_VARIABLE_DATA: a GUID, the length of the name in characters, that of the value, name and value.
    let units = u64::from_le_bytes(event.data[16..24].try_into().unwrap());
    (number, event.data[32 + 2 * usize::try_from(units).unwrap()..].to_vec())
}
