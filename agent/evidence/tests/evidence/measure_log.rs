//! systemd's measurement log, tested with real boots of systemd 257 and 262.

use pawl_evidence::eventlog::{EventFact, EventLog, Fact, Stage, Tie, UserSpaceEvent};
use pawl_evidence::measure_log::{MEASURE_LOG_MAX_LEN, MeasureLog, MeasureLogError, RECORD_MAX_LEN, Target};
use pawl_evidence::tpm::{HashAlgorithm, TaggedDigest};
use proptest::prelude::*;

use crate::support::boot::{Boot, from_hex};

#[test]
fn the_firmwares_log_followed_by_systemds_gives_every_pcr() {
    for boot in Boot::with_measure_log() {
        let log = boot.event_log();
        let firmware = EventLog::parse(&log).unwrap().replay().unwrap();
        let measured = MeasureLog::parse(&boot.measure_log()).unwrap();
        let replayed = measured.replay(&firmware);
        let mut compared = 0;
        for (bank, index, value) in boot.pcrs().iter() {
            // IMA extends PCR 10, and PCR 8 of one fixture was extended by hand.
            if index == 10 || (index, boot.name.as_str()) == (8, "forky-more-events") {
                continue;
            }
            let expected =
                replayed.get(bank, index).copied().unwrap_or_else(|| TaggedDigest::at_reset(bank, index));
            assert_eq!(*value, expected, "{}: PCR {index} of {bank}", boot.name);
            compared += 1;
        }
        assert!(compared >= 3 * 22, "{}: {compared}", boot.name);
    }
}

#[test]
fn the_records_of_an_nvpcr_give_its_value() {
    for (name, index, value, records) in [
        ("forky-good", 0x1d1_0200, "2bbb5dcb4783d4d8f83f0e453f63925829bb2e060e7bf374807b2fd901ef940d", 1),
        ("forky-good", 0x1d1_0201, "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b", 0),
        (
            "forky-more-events",
            0x1d1_0202,
            "3f5df9d91951bb7eaf91cfb117583f93b2079f4e559e4dfe111e1c8bf062349f",
            1,
        ),
        (
            "forky-more-events",
            0x1d1_0203,
            "a80956d2a6bad01961b5bc5cc7b5e8d703ce29f9670d771274e1b541660e06c8",
            2,
        ),
    ] {
        let log = MeasureLog::parse(&Boot::named(name).measure_log()).unwrap();
        let value = TaggedDigest::new(HashAlgorithm::Sha256, &from_hex(value)).unwrap();
        assert_eq!(log.leads_nv(index, &value), Some(records), "{name}: {index:#x}");
        assert_eq!(log.leads_nv(index, &TaggedDigest::filled(HashAlgorithm::Sha256, 1)), None);
    }
    let log = MeasureLog::parse(&Boot::named("forky-more-events").measure_log()).unwrap();
    let names = log.nvpcr_names();
    let names: Vec<_> = names.iter().map(|(index, name)| (*index, name.as_str())).collect();
    let created = ["hardware", "cryptsetup", "verity", "login"];
    assert_eq!(names, (0x1d1_0200..).zip(created).collect::<Vec<_>>());
}

#[test]
fn a_text_is_tied_only_if_its_hash_is_the_digest() {
    let facts = facts("forky-more-events");
    let find = |text: &str| {
        let is_it = |event: &&EventFact<'_>| match &event.fact {
            Fact::UserSpace(UserSpaceEvent::Other(other)) => other.starts_with(text),
            _ => false,
        };
        let found = facts.iter().find(is_it).unwrap_or_else(|| panic!("{text}: {facts:#?}"));
        (found.pcr, found.tie)
    };
    // The log has the text escaped; its hash is that of the unescaped text.
    assert_eq!(find("two\nlines, \"quoted\", a back\\slash and é"), (11, Tie::Digest));
    // Bytes that are not text are displayed as the log escapes them.
    assert_eq!(find("\\000\\001\\002\\377\\n"), (14, Tie::Digest));
    assert_eq!(find("text by varlink"), (14, Tie::Digest));
    // systemd cut this text after 1024 bytes.
    assert_eq!(find("xxxx"), (12, Tie::Claim));
    // The digest is an HMAC with a secret that the log does not contain.
    assert_eq!(find("HMAC with a secret"), (14, Tie::Claim));
}

#[test]
fn phases_separators_and_the_machine_id_are_recognized_by_pcr_and_text() {
    let facts = facts("forky-soft-reboot");
    let of_pcr = |pcr| -> Vec<&UserSpaceEvent> {
        let events = facts.iter().filter(|event| event.pcr == pcr);
        events
            .map(|event| match &event.fact {
                Fact::UserSpace(event) => event,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    let words = ["enter-initrd", "leave-initrd", "sysinit", "ready", "shutdown", "final", "sysinit", "ready"];
    assert_eq!(of_pcr(11), words.map(UserSpaceEvent::Phase).iter().collect::<Vec<_>>());
    let id = UserSpaceEvent::MachineId("0f0e0d0c0b0a09080706050403020100".to_owned());
    assert_eq!(of_pcr(15), [&id, &id]);
    assert_eq!(of_pcr(4), [&UserSpaceEvent::OsSeparator]);
    let kernel = of_pcr(9);
    assert_eq!((kernel.len(), kernel[0]), (6, &UserSpaceEvent::OsSeparator));
    assert!(
        matches!(kernel[1], UserSpaceEvent::NvPcr(text) if text.starts_with("nvpcr-init:verity:0x1d10202:"))
    );
    assert_eq!(kernel[5], &UserSpaceEvent::NvPcrSeparator);
    assert!(facts.iter().all(|event| event.stage == Stage::UserSpace && event.tie == Tie::Digest));
}

#[test]
fn a_record_does_not_extend_a_bank_that_it_omits() {
    let log = MeasureLog::parse(&Boot::named("forky-more-events").measure_log()).unwrap();
    let alone = log.of_pcr(13).find(|record| record.text.as_deref() == Some("one bank only")).unwrap();
    assert!(alone.digest(HashAlgorithm::Sha256).is_some() && alone.digest(HashAlgorithm::Sha1).is_none());
    let pcrs = Boot::named("forky-more-events").pcrs();
    for (bank, records) in [(HashAlgorithm::Sha256, 3), (HashAlgorithm::Sha1, 3), (HashAlgorithm::Sha384, 3)]
    {
        let start = TaggedDigest::filled(bank, 0);
        assert_eq!(log.leads(13, &start, pcrs.get(bank, 13).unwrap()), Some(records), "{bank}");
    }
}

#[test]
fn records_after_the_quote_are_not_counted() {
    let boot = Boot::named("forky-soft-reboot");
    let log = MeasureLog::parse(&boot.measure_log()).unwrap();
    let firmware = EventLog::parse(&boot.event_log()).unwrap().replay().unwrap();
    let start = *firmware.get(HashAlgorithm::Sha256, 11).unwrap();
    let mut value = start;
    for (count, record) in log.of_pcr(11).enumerate() {
        assert_eq!(log.leads(11, &start, &value), Some(count));
        value = value.extend(record.digest(HashAlgorithm::Sha256).unwrap().as_bytes());
    }
    assert_eq!(log.leads(11, &start, &start.extend(&[1; 32])), None);
}

#[test]
fn malformed_records_are_refused_with_their_offset() {
    let good = &b"\x1e{\"pcr\":4,\"digests\":[]}\n"[..];
    let parse = |more: &[u8]| MeasureLog::parse(&[good, more].concat());
    let offset = good.len();
    assert_eq!(parse(b"").unwrap().records().len(), 1);
    assert_eq!(parse(b"{\"pcr\":4,\"digests\":[]}\n"), Err(MeasureLogError::Framing { offset }));
    assert_eq!(parse(b"\x1e{\"pcr\":4,\x1e"), Err(MeasureLogError::Framing { offset }));
    for record in [
        "{}",
        "[]",
        "{\"pcr\":4}",
        "{\"digests\":[]}",
        "{\"pcr\":24,\"digests\":[]}",
        "{\"pcr\":-1,\"digests\":[]}",
        "{\"pcr\":4,\"pcr\":5,\"digests\":[]}",
        "{\"pcr\":4,\"nv_index\":5,\"digests\":[]}",
        "{\"pcr\":4,\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\"00\"}]}",
        "{\"pcr\":4,\"digests\":[{\"hashAlg\":\"sha1\",\"digest\":\"zz00000000000000000000000000000000000000\"}]}",
    ] {
        let refused = parse(format!("\x1e{record}\n").as_bytes());
        assert!(
            matches!(refused, Err(MeasureLogError::Record { offset: at, .. }) if at == offset),
            "{record}: {refused:?}"
        );
    }
    let digest = format!("{{\"hashAlg\":\"sha256\",\"digest\":\"{}\"}}", "00".repeat(32));
    let twice = format!("\x1e{{\"pcr\":4,\"digests\":[{digest},{digest}]}}\n");
    assert!(matches!(parse(twice.as_bytes()), Err(MeasureLogError::Record { .. })));
    let many = vec![digest.replace("sha256", "sm3"); 17].join(",");
    assert!(matches!(
        parse(format!("\x1e{{\"pcr\":4,\"digests\":[{many}]}}\n").as_bytes()),
        Err(MeasureLogError::Record { .. })
    ));
    // Digests of unknown algorithms are ignored.
    let other = parse(
        format!("\x1e{{\"pcr\":4,\"digests\":[{}]}}\n", digest.replace("sha256", "sm3_256")).as_bytes(),
    );
    assert_eq!(other.unwrap().records()[1].digests, []);
}

#[test]
fn sizes_are_checked_before_a_record_is_parsed() {
    let long = [b"\x1e".to_vec(), vec![b'['; RECORD_MAX_LEN + 1], b"\n".to_vec()].concat();
    assert_eq!(MeasureLog::parse(&long), Err(MeasureLogError::RecordTooLong { offset: 0 }));
    assert_eq!(MeasureLog::parse(&long[..long.len() - 1]), Err(MeasureLogError::RecordTooLong { offset: 0 }));
    let deep = [b"\x1e".to_vec(), vec![b'['; RECORD_MAX_LEN], b"\n".to_vec()].concat();
    assert!(matches!(MeasureLog::parse(&deep), Err(MeasureLogError::Record { .. })));
    let whole = vec![0x1e; MEASURE_LOG_MAX_LEN + 1];
    assert_eq!(MeasureLog::parse(&whole), Err(MeasureLogError::TooLong(MEASURE_LOG_MAX_LEN + 1)));
}

#[test]
fn a_record_that_systemd_is_still_writing_is_omitted() {
    let log = Boot::named("forky-good").measure_log();
    let whole = MeasureLog::parse(&log).unwrap();
    assert_eq!(whole.records().len(), 23);
    let cut = MeasureLog::parse(&log[..log.len() - 1]).unwrap();
    assert_eq!(cut.records(), &whole.records()[..22]);
    assert!(whole.records().iter().any(|record| record.target == Target::NvIndex(0x1d1_0200)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_altered_or_cut_measurement_log_makes_the_parser_panic(position in 0..11_000_usize, flip in 0..=255_u8) {
        let log = Boot::named("forky-good").measure_log();
        let mut altered = log.clone();
        let position = position % log.len();
        if flip == 0 { altered.truncate(position) } else { altered[position] ^= flip }
        if let Ok(read) = MeasureLog::parse(&altered) {
            let _ = read.facts(HashAlgorithm::Sha256);
            let _ = read.replay(&Default::default());
        }
    }
}

fn facts(name: &str) -> Vec<EventFact<'static>> {
    MeasureLog::parse(&Boot::named(name).measure_log()).unwrap().facts(HashAlgorithm::Sha256)
}
