use pawl_evidence::attest::{AkError, AttestError, AttestationKey};
use pawl_evidence::tpm::{Attest, HashAlgorithm, Hierarchy, ParseError, Public, TaggedDigest};

use crate::support::boot::{Boot, NONCE};

#[test]
fn every_quote_verifies_and_covers_its_pcrs() {
    for boot in Boot::all() {
        let quote = boot.quote();
        assert_eq!(quote.pcrs().iter().count(), 15, "{}", boot.name);
        assert!(quote.clock().reset_count > 0 && quote.clock().safe, "{}", boot.name);
    }
}

#[test]
fn names_and_pem_are_those_that_tpm2_tools_wrote() {
    for boot in Boot::all() {
        let public = boot.ak_public();
        assert_eq!(public.name().as_bytes(), boot.read("ak.name"), "{}", boot.name);
        assert_eq!(public.to_spki_pem().unwrap().into_bytes(), boot.read("ak.pub"), "{}", boot.name);
    }
}

#[test]
fn a_quote_is_refused_for_another_nonce_key_or_value() {
    let boot = Boot::named("x86-good");
    let (message, signature) = (boot.read("quote.msg"), boot.read("quote.sig"));
    let ak = boot.attestation_key();
    assert_eq!(ak.verify(&message, &signature, &[0; 16]), Err(AttestError::Stale));
    assert_eq!(ak.verify(&message, &signature, &[]), Err(AttestError::Stale));

    let stranger = Boot::named("arm64-good").attestation_key();
    assert_eq!(stranger.verify(&message, &signature, &NONCE), Err(AttestError::Forged));

    let mut pcrs = boot.quoted_pcrs();
    pcrs.insert(4, TaggedDigest::filled(HashAlgorithm::Sha256, 0)).unwrap();
    let attest = ak.verify(&message, &signature, &NONCE).unwrap();
    assert_eq!(attest.clone().quote(&pcrs), Err(AttestError::Composite));
    assert!(matches!(attest.clone().quote(&Default::default()), Err(AttestError::Missing(_))));
    assert!(matches!(attest.certify(&ak.name()), Err(AttestError::Kind { .. })));
    assert!(matches!(attest.nv_counter(&ak.name()), Err(AttestError::Kind { .. })));
}

#[test]
fn every_flipped_bit_of_a_quote_is_noticed() {
    let boot = Boot::named("x86-good");
    let ak = boot.attestation_key();
    let (message, signature) = (boot.read("quote.msg"), boot.read("quote.sig"));
    for position in 0..message.len() {
        let mut message = message.clone();
        message[position] ^= 1 << (position % 8);
        assert_eq!(ak.verify(&message, &signature, &NONCE), Err(AttestError::Forged), "{position}");
    }
    for position in 0..signature.len() {
        let mut signature = signature.clone();
        signature[position] ^= 1 << (position % 8);
        assert!(ak.verify(&message, &signature, &NONCE).is_err(), "{position}");
    }
}

#[test]
fn a_quote_with_missing_or_extra_bytes_is_malformed() {
    let message = Boot::named("x86-good").read("quote.msg");
    for length in 0..message.len() {
        assert!(
            matches!(Attest::unmarshal(&message[..length]), Err(ParseError::Truncated { .. })),
            "{length}"
        );
    }
    let continued = [&message[..], &[0]].concat();
    assert!(matches!(Attest::unmarshal(&continued), Err(ParseError::Trailing { extra: 1, .. })));
}

#[test]
fn a_key_that_could_sign_forged_attestations_is_refused_as_attestation_key() {
    let public = Boot::named("x86-good").ak_public();
    let read = |public: Public| {
        let qualified_name = public.name().in_hierarchy(Hierarchy::Endorsement);
        AttestationKey::with_qualified_name(public, qualified_name)
    };
    let with_attributes = |attributes: u32| {
        let mut bytes = public.as_bytes().to_vec();
        bytes[4..8].copy_from_slice(&attributes.to_be_bytes());
        read(Public::unmarshal(&bytes).unwrap())
    };
    let good = public.attributes().0;
    assert!(with_attributes(good).is_ok());
    let (fixed_tpm, fixed_parent, origin, restricted, decrypt, sign) =
        (1 << 1, 1 << 4, 1 << 5, 1 << 16, 1 << 17, 1 << 18);
    for missing in [fixed_tpm, fixed_parent, origin, restricted, sign] {
        assert!(matches!(with_attributes(good & !missing), Err(AkError::Attributes(_))), "{missing:#x}");
    }
    assert!(matches!(with_attributes(good | decrypt), Err(AkError::Attributes(_))));

    let mut off_the_curve = public.as_bytes().to_vec();
    *off_the_curve.last_mut().unwrap() ^= 1;
    let off_the_curve = Public::unmarshal(&off_the_curve).unwrap();
    assert!(matches!(read(off_the_curve), Err(AkError::Point)));
}
