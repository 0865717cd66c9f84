//! Bytes that were made up, cut or altered: no panic, and no way to the same result.

use pawl_evidence::credential::make_credential;
use pawl_evidence::endorsement::VendorCas;
use pawl_evidence::eventlog::EventLog;
use pawl_evidence::ima::{Aggregate, AsciiLog, BinaryLog, IMA_PCR, Outcome};
use pawl_evidence::rand_core::OsRng;
use pawl_evidence::tpm::{Attest, HashAlgorithm, Name, NvPublic, PcrSelection, Public, Signature};
use proptest::prelude::*;

use crate::support::boot::Boot;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Attest::unmarshal(&bytes);
        let _ = Name::from_bytes(&bytes);
        let _ = NvPublic::unmarshal(&bytes);
        let _ = PcrSelection::unmarshal(&bytes);
        let _ = Public::unmarshal(&bytes);
        let _ = Signature::unmarshal(&bytes);
        let _ = EventLog::parse(&bytes).and_then(|log| log.replay());
        BinaryLog::new(&bytes).for_each(drop);
        AsciiLog::new(&bytes).for_each(drop);
        let _ = VendorCas::from_files([("made up", &bytes)]);
    }

    #[test]
    fn an_altered_public_area_is_refused_or_has_another_name(position in 0..88_usize, flip in 1..=255_u8) {
        let ak = Boot::named("x86-good").ak_public();
        let mut bytes = ak.as_bytes().to_vec();
        let position = position % bytes.len();
        bytes[position] ^= flip;
        if let Ok(public) = Public::unmarshal(&bytes) {
            prop_assert_ne!(public.name(), ak.name());
            prop_assert_eq!(public.as_bytes(), bytes);
            let _ = public.to_spki_der();
            let _ = make_credential(&public, &ak.name(), &[1; 32], &mut OsRng);
        }
    }

    #[test]
    fn a_cut_event_log_is_refused_or_gives_other_pcrs(cut in 0..20_000_usize) {
        let log = Boot::named("x86-shim-grub-ms").event_log();
        let whole = EventLog::parse(&log).unwrap().replay();
        let cut = &log[..cut % log.len()];
        prop_assert_ne!(EventLog::parse(cut).and_then(|log| log.replay()), whole);
    }

    #[test]
    fn an_altered_event_log_is_refused_or_gives_other_pcrs_if_a_digest_is_concerned(
        position in 0..20_000_usize,
        flip in 1..=255_u8,
    ) {
        let log = Boot::named("x86-shim-grub-ms").event_log();
        let position = position % log.len();
        let mut altered = log.clone();
        altered[position] ^= flip;
        let whole = EventLog::parse(&log).unwrap().replay();
        let replayed = EventLog::parse(&altered).and_then(|log| log.replay());
        if digests_cover(&log, position) {
            prop_assert_ne!(replayed, whole);
        }
    }

    #[test]
    fn an_altered_or_cut_ima_log_gives_no_pcr_10(position in 0..60_000_usize, flip in 0..=255_u8) {
        let boot = Boot::named("x86-good");
        let log = boot.read("ima_after_quote.bin");
        let quoted = *boot.quoted_pcrs().get(HashAlgorithm::Sha256, IMA_PCR).unwrap();
        let outcome = Aggregate::new(HashAlgorithm::Sha256).advance(BinaryLog::new(&log), &quoted);
        let Ok(Outcome::Anchored { consumed, .. }) = outcome else { panic!("{outcome:?}") };
        let position = position % consumed;
        let altered = if flip == 0 {
            log[..position].to_vec()
        } else {
            let mut altered = log.clone();
            altered[position] ^= flip;
            altered
        };
        let outcome = Aggregate::new(HashAlgorithm::Sha256).advance(BinaryLog::new(&altered), &quoted);
        if flip == 0 || !is_template_name(&log, position) {
            prop_assert!(!matches!(outcome, Ok(Outcome::Anchored { .. })), "{:?}", outcome);
        }
    }
}

/// Whether a byte of the log is in an extended digest: whether data belongs to a digest depends on the kind
/// of event.
fn digests_cover(log: &[u8], position: usize) -> bool {
    const NO_ACTION: u32 = 3;
    let parsed = EventLog::parse(log).unwrap();
    let events: Vec<_> = parsed.events().collect::<Result<_, _>>().unwrap();
    let ends = events.iter().skip(1).map(|event| event.offset).chain([log.len()]);
    events.iter().zip(ends).any(|(event, end)| {
        let digests = event.offset + 8..end - event.data.len() - 4;
        event.kind.0 != NO_ACTION && digests.contains(&position)
    })
}

/// The one thing in an entry that the kernel does not hash.
fn is_template_name(log: &[u8], position: usize) -> bool {
    BinaryLog::new(log).any(|entry| {
        let entry = entry.unwrap();
        let name = entry.offset + 4 + 20 + 4;
        (name..name + entry.template.len()).contains(&position)
    })
}
