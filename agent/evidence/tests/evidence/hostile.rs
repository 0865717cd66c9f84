//! Random, cut and altered bytes: they make no function panic, and are not accepted in place of the original.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pawl_evidence::assurance::{Assurance, AssuranceError, SigningInput, verify};
use pawl_evidence::credential::make_credential;
use pawl_evidence::endorsement::VendorCas;
use pawl_evidence::eventlog::EventLog;
use pawl_evidence::ima::{Aggregate, AsciiLog, BinaryLog, IMA_PCR, Outcome};
use pawl_evidence::rand_core::OsRng;
use pawl_evidence::tpm::{Attest, HashAlgorithm, Name, NvPublic, PcrSelection, Public, Signature};
use proptest::prelude::*;

use crate::support::assurance::{ActionKey, Authority, DIGEST, EXPECTED, NOW, claims};
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

    #[test]
    fn random_text_is_refused_as_an_assurance(text in ".{0,400}", header in ".{0,200}", claims in ".{0,200}") {
        let authority = Authority::new();
        prop_assert!(check_assurance(&text, &authority).is_err());
        let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let _ = SigningInput::parse(&parts);
        let jws = [parts, URL_SAFE_NO_PAD.encode(DIGEST.repeat(2))].join(".");
        prop_assert!(check_assurance(&jws, &authority).is_err());
    }

    #[test]
    fn an_assurance_with_an_altered_byte_is_refused(position in 0..4000_usize, byte in any::<u8>()) {
        let authority = Authority::new();
        let mut jws = ActionKey::new(&authority).assurance(&claims()).into_bytes();
        let position = position % jws.len();
        prop_assume!(jws[position] != byte);
        jws[position] = byte;
        prop_assert!(check_assurance(&String::from_utf8_lossy(&jws), &authority).is_err());
    }

    #[test]
    fn an_assurance_with_an_altered_certificate_is_refused(position in 0..600_usize, byte in any::<u8>(), trusted in any::<bool>()) {
        let mut authority = Authority::new();
        let mut key = ActionKey::new(&authority);
        let certificate = if trusted { &mut authority.der } else { &mut key.certificate };
        let position = position % certificate.len();
        let altered = certificate[position] != byte;
        certificate[position] = byte;
        let result = check_assurance(&key.assurance(&claims()), &authority);
        // The CA's certificate is the trust anchor: many of its bytes, such as its own signature, have no effect.
        prop_assert!(trusted || result.is_err() == altered);
    }
}

fn check_assurance(jws: &str, authority: &Authority) -> Result<Assurance, AssuranceError> {
    verify(jws, &authority.der, NOW, &EXPECTED)
}

/// Returns whether the byte belongs to the name of an entry's template, which the kernel does not hash.
fn is_template_name(log: &[u8], position: usize) -> bool {
    BinaryLog::new(log).any(|entry| {
        let entry = entry.unwrap();
        let name = entry.offset + 4 + 20 + 4;
        (name..name + entry.template.len()).contains(&position)
    })
}
