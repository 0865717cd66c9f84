use pawl_evidence::eventlog::EventLog;
use pawl_evidence::ima::{Aggregate, AsciiLog, BinaryLog, IMA_PCR, Outcome};
use pawl_evidence::tpm::{HashAlgorithm, TaggedDigest};

use crate::support::boot::Boot;

#[test]
fn every_event_log_replays_to_the_pcrs() {
    for boot in Boot::all() {
        let replayed = EventLog::parse(&boot.event_log()).unwrap().replay().unwrap();
        let read = boot.pcrs();
        assert!(replayed.iter().count() >= 3 * 8, "{}", boot.name);
        for (bank, index, value) in replayed.iter() {
            let read = read.get(bank, index).unwrap();
            let place = format!("{}: PCR {index} of {bank}", boot.name);
            match index {
                11 => assert!(with_boot_phases(value).contains(read), "{place}"),
                _ => assert_eq!(value, read, "{place}"),
            }
        }
        for (bank, index, value) in read.iter().filter(|(_, index, _)| *index < 10) {
            if replayed.get(bank, index).is_none() {
                assert_eq!(*value, TaggedDigest::filled(bank, 0), "{}: PCR {index} of {bank}", boot.name);
            }
        }
    }
}

/// Returns the values that PCR 11 can have: systemd extends it with boot phases, but omits some if the TPM's driver
/// loads late.
fn with_boot_phases(logged: &TaggedDigest) -> [TaggedDigest; 4] {
    let phase =
        |pcr: &TaggedDigest, name: &str| pcr.extend(pcr.algorithm().digest(&[name.as_bytes()]).as_bytes());
    let sysinit = phase(logged, "sysinit");
    [*logged, sysinit, phase(logged, "ready"), phase(&sysinit, "ready")]
}

#[test]
fn every_ima_log_has_a_prefix_that_gives_pcr_10_or_is_unanchored() {
    let mut anchored = 0;
    for boot in Boot::all() {
        let binary = boot.read("ima_binary_runtime_measurements");
        let ascii = boot.read("ima_ascii_runtime_measurements");
        for bank in [HashAlgorithm::Sha1, HashAlgorithm::Sha256, HashAlgorithm::Sha384] {
            let place = format!("{}: {bank}", boot.name);
            let quoted = *boot.pcrs().get(bank, IMA_PCR).unwrap();
            let mut from_binary = Aggregate::new(bank);
            let outcome = from_binary.advance(BinaryLog::new(&binary), &quoted).unwrap();
            let mut from_ascii = Aggregate::new(bank);
            let of_ascii = from_ascii.advance(AsciiLog::new(&ascii), &quoted).unwrap();
            assert_eq!(from_binary, from_ascii, "{place}");
            if boot.name.starts_with("arm") {
                assert_eq!((outcome, of_ascii), (Outcome::Unanchored, Outcome::Unanchored), "{place}");
                continue;
            }
            anchored += 1;
            let Outcome::Anchored { consumed, padded } = outcome else { panic!("{place}: {outcome:?}") };
            assert!(matches!(of_ascii, Outcome::Anchored { .. }), "{place}");
            assert!(consumed <= binary.len() && from_binary.entries() > 350, "{place}");
            // Debian's kernel has no SHA-384 when IMA starts.
            assert_eq!(padded, bank == HashAlgorithm::Sha384, "{place}");
        }
    }
    assert_eq!(anchored, 6 * 3);
}

#[test]
fn a_log_in_pieces_is_followed_from_quote_to_quote() {
    let boot = Boot::named("x86-good");
    let log = boot.read("ima_after_quote.bin");
    let first = *boot.pcrs().get(HashAlgorithm::Sha256, IMA_PCR).unwrap();
    let second = *boot.quoted_pcrs().get(HashAlgorithm::Sha256, IMA_PCR).unwrap();
    assert_ne!(first, second);

    let mut aggregate = Aggregate::new(HashAlgorithm::Sha256);
    let outcome = aggregate.advance(BinaryLog::new(&log), &first).unwrap();
    let Outcome::Anchored { consumed, padded: false } = outcome else { panic!("{outcome:?}") };
    let so_far = aggregate.entries();
    let rest = &log[consumed..];

    // A piece that does not begin at the end of the prefix is refused and changes nothing.
    let before = aggregate.clone();
    assert_eq!(aggregate.advance(BinaryLog::new(&log), &second), Ok(Outcome::Diverged));
    assert_eq!(aggregate, before);

    let outcome = aggregate.advance(BinaryLog::new(rest), &second).unwrap();
    assert!(matches!(outcome, Outcome::Anchored { consumed: 1.., padded: false }), "{outcome:?}");
    assert!(aggregate.entries() > so_far);

    // No entries since then.
    let outcome = aggregate.advance(BinaryLog::new(&[]), &second).unwrap();
    assert_eq!(outcome, Outcome::Anchored { consumed: 0, padded: false });
}

#[test]
fn a_stored_aggregate_continues_after_a_piece_that_ends_inside_an_entry() {
    let boot = Boot::named("x86-good");
    let log = boot.read("ima_after_quote.bin");
    let quoted = *boot.quoted_pcrs().get(HashAlgorithm::Sha256, IMA_PCR).unwrap();
    let mut aggregate = Aggregate::new(HashAlgorithm::Sha256);
    let consumed = aggregate.absorb(BinaryLog::new(&log[..20_000])).unwrap();
    assert!((19_000..=20_000).contains(&consumed), "{consumed}");

    let kept = aggregate.to_bytes();
    let mut restored = Aggregate::from_bytes(&kept).unwrap();
    assert_eq!(restored, aggregate);
    let outcome = restored.advance(BinaryLog::new(&log[consumed..]), &quoted).unwrap();
    assert!(matches!(outcome, Outcome::Anchored { padded: false, .. }), "{outcome:?}");
    assert_eq!(*restored.value(), quoted);

    assert!(Aggregate::from_bytes(&kept[..kept.len() - 1]).is_err());
    assert!(Aggregate::from_bytes(&[&kept[..], &[0]].concat()).is_err());
}

#[test]
fn paths_and_violations_are_read() {
    let boot = Boot::named("armhf-on-arm64-kernel");
    let log = boot.read("ima_binary_runtime_measurements");
    let entries: Vec<_> = BinaryLog::new(&log).collect::<Result<_, _>>().unwrap();
    assert_eq!(entries.iter().filter(|entry| entry.is_violation()).count(), 4);
    assert_eq!(entries[0].path(), Some(&b"boot_aggregate"[..]));
    assert_eq!(entries[1].path(), Some(&b"/init"[..]));
    assert_eq!(entries.last().unwrap().end, log.len());
}
