use pawl_evidence::eventlog::{EventKind, EventLog, EventLogError, LOG_MAX_LEN};
use pawl_evidence::tpm::{HashAlgorithm, TaggedDigest};

use crate::support::boot::Boot;
use crate::support::log::{sha1_event, spec_id_header};

#[test]
fn events_have_known_types_and_correct_offsets() {
    let boot = Boot::named("x86-shim-grub-ms");
    let log = boot.event_log();
    let parsed = EventLog::parse(&log).unwrap();
    let events: Vec<_> = parsed.events().collect::<Result<_, _>>().unwrap();
    let separators = events.iter().filter(|event| event.kind == EventKind::SEPARATOR).count();
    assert!(separators >= 7, "{separators}");
    assert!(events.iter().all(|event| event.kind.name().is_some()));
    for event in &events {
        assert_eq!(log[event.offset..event.offset + 4], u32::from(event.pcr).to_le_bytes());
        assert_eq!(event.digests.len(), 3);
    }
}

#[test]
fn empty_cut_and_long_logs_have_different_errors() {
    assert!(matches!(EventLog::parse(&[]), Err(EventLogError::Empty)));
    assert!(matches!(EventLog::parse(&vec![0; LOG_MAX_LEN + 1]), Err(EventLogError::TooLong(_))));
    let log = Boot::named("x86-good").event_log();
    let last = EventLog::parse(&log).unwrap().events().last().unwrap().unwrap().offset;
    let cut = EventLog::parse(&log[..log.len() - 1]).unwrap().replay();
    assert_eq!(cut, Err(EventLogError::Truncated { offset: last }));
}

#[test]
fn the_old_format_has_only_sha1() {
    let separator = HashAlgorithm::Sha1.digest(&[&[0; 4]]);
    let log =
        [sha1_event(4, 4, separator.as_bytes(), &[0; 4]), sha1_event(7, 4, separator.as_bytes(), &[0; 4])];
    let log = log.concat();
    let pcrs = EventLog::parse(&log).unwrap().replay().unwrap();
    let expected = TaggedDigest::filled(HashAlgorithm::Sha1, 0).extend(separator.as_bytes());
    assert_eq!(
        pcrs.iter().collect::<Vec<_>>(),
        [(HashAlgorithm::Sha1, 4, &expected), (HashAlgorithm::Sha1, 7, &expected)]
    );
}

#[test]
fn pcr_0_starts_with_the_startup_locality() {
    let digest = [7; 20];
    let locality = sha1_event(0, 3, &[0; 20], b"StartupLocality\0\x03");
    let measured = sha1_event(0, 8, &digest, b"firmware");
    let log = [locality.clone(), measured.clone()].concat();
    let mut start = [0; 20];
    start[19] = 3;
    let expected = TaggedDigest::new(HashAlgorithm::Sha1, &start).unwrap().extend(&digest);
    let pcrs = EventLog::parse(&log).unwrap().replay().unwrap();
    assert_eq!(pcrs.get(HashAlgorithm::Sha1, 0), Some(&expected));

    let too_late = [measured, locality].concat();
    let replayed = EventLog::parse(&too_late).unwrap().replay();
    assert!(matches!(replayed, Err(EventLogError::StartupLocality { .. })));
}

#[test]
fn digests_of_an_unknown_algorithm_are_skipped_by_their_size() {
    const SM3: u16 = 0x0012;
    const UNLISTED: u16 = 0x0027;
    let digest = [9; 32];
    let event = |second: u16| {
        let mut event = [&5_u32.to_le_bytes()[..], &4_u32.to_le_bytes(), &2_u32.to_le_bytes()].concat();
        event.extend([&second.to_le_bytes()[..], &[1; 32], &0x000b_u16.to_le_bytes(), &digest].concat());
        event.extend([&4_u32.to_le_bytes()[..], &[0; 4]].concat());
        event
    };
    let header = spec_id_header(&[(SM3, 32), (0x000b, 32)]);
    let log = [header.clone(), event(SM3)].concat();
    let pcrs = EventLog::parse(&log).unwrap().replay().unwrap();
    let expected = TaggedDigest::filled(HashAlgorithm::Sha256, 0).extend(&digest);
    assert_eq!(pcrs.iter().collect::<Vec<_>>(), [(HashAlgorithm::Sha256, 5, &expected)]);

    let log = [header, event(UNLISTED)].concat();
    let replayed = EventLog::parse(&log).unwrap().replay();
    assert!(matches!(replayed, Err(EventLogError::Digest { algorithm: UNLISTED, .. })));
}

#[test]
fn a_header_with_wrong_or_repeated_algorithms_is_refused() {
    for algorithms in
        [&[][..], &[(0x000b, 20)], &[(0x000b, 32), (0x000b, 32)], &[(0x0012, 65)], &[(0x0012, 0)]]
    {
        assert!(
            matches!(EventLog::parse(&spec_id_header(algorithms)), Err(EventLogError::Header)),
            "{algorithms:?}"
        );
    }
}
