//! Assurances: a valid one is accepted; one with any altered part is refused.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p256::ecdsa::Signature;
use pawl_evidence::assurance::{
    ASSURANCE_EKU, ASSURANCE_EKU_EXTENSION, ASSURANCE_MAX_LEN, Approved, AssuranceError, Claims, Expected,
    SigningInput, verify,
};
use rcgen::{CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P384_SHA384, date_time_ymd};
use serde_json::{Value, json};

use crate::support::assurance::{
    ActionKey, Authority, DEVICE, EXPECTED, NOW, action_params, claims, purposed,
};

const CLIENT_AUTH: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

fn check(jws: &str, authority: &Authority) -> Result<Claims, AssuranceError> {
    verify(jws, &authority.der, NOW, &EXPECTED).map(|assurance| assurance.claims().clone())
}

fn edited(edit: impl FnOnce(&mut Claims)) -> Claims {
    let mut claims = claims();
    edit(&mut claims);
    claims
}

/// Returns header and claims of a valid assurance, as JSON.
fn parts(key: &ActionKey) -> (Value, Value) {
    let jws = key.assurance(&claims());
    let mut parts = jws.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut json = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (json(), json())
}

fn signed(key: &ActionKey, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    key.sign(&format!("{}.{}", part(header), part(claims)))
}

#[test]
fn a_valid_assurance_is_accepted_with_its_claims() {
    let authority = Authority::new();
    let key = ActionKey::new(&authority);
    assert_eq!(check(&key.assurance(&claims()), &authority), Ok(claims()));
    let by_policy = edited(|claims| claims.pawl.approved = Approved::Policy);
    assert_eq!(check(&key.assurance(&by_policy), &authority), Ok(by_policy));
    let any_device = Expected { device: None, ..EXPECTED };
    assert!(verify(&key.assurance(&claims()), &authority.der, NOW, &any_device).is_ok());
}

#[test]
fn header_and_claims_have_the_documented_members() {
    let (header, claims) = parts(&ActionKey::new(&Authority::new()));
    assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("pawl-assurance+jwt")));
    assert_eq!(header["x5c"].as_array().unwrap().len(), 2);
    assert_eq!((&claims["sub"], &claims["exp"]), (&json!(DEVICE), &json!(NOW + 300)));
    let pawl = &claims["pawl"];
    assert_eq!((&pawl["epoch"], &pawl["digest"]), (&json!(7), &json!("42".repeat(32))));
    assert_eq!(pawl["approved"][0]["by"], "anna@example.org");
    let by_policy = serde_json::to_value(Approved::Policy).unwrap();
    assert_eq!(by_policy, "policy");
}

#[test]
fn the_device_parses_the_text_that_its_tpm_signs() {
    let authority = Authority::new();
    let key = ActionKey::new(&authority);
    let written = SigningInput::new(&claims(), &[&key.certificate, &authority.der]).unwrap();
    let read = SigningInput::parse(written.as_str()).unwrap();
    assert_eq!((read.claims(), read.certificate()), (&claims(), key.certificate.as_slice()));
    assert_eq!(read.claims().check(&EXPECTED), Ok(()));
    let jws = key.assurance(&claims());
    let signature = URL_SAFE_NO_PAD.decode(jws.rsplit_once('.').unwrap().1).unwrap();
    assert_eq!(read.signed(&signature.try_into().unwrap()), jws);
}

#[test]
fn an_assurance_with_other_than_the_expected_values_is_refused() {
    let authority = Authority::new();
    let jws = ActionKey::new(&authority).assurance(&claims());
    for (expected, error) in [
        (Expected { device: Some("another"), ..EXPECTED }, AssuranceError::Device),
        (Expected { action: "reboot", ..EXPECTED }, AssuranceError::Action),
        (Expected { resource: "plc-8", ..EXPECTED }, AssuranceError::Resource),
        (Expected { digest: &[0; 32], ..EXPECTED }, AssuranceError::Digest),
        (Expected { session: "challenge 2", ..EXPECTED }, AssuranceError::Session),
    ] {
        assert_eq!(verify(&jws, &authority.der, NOW, &expected), Err(error));
    }
}

#[test]
fn validity_has_a_minute_of_leeway() {
    let authority = Authority::new();
    let jws = ActionKey::new(&authority).assurance(&claims());
    for (now, error) in [
        (NOW - 61, Some(AssuranceError::NotYet)),
        (NOW - 60, None),
        (NOW + 359, None),
        (NOW + 360, Some(AssuranceError::Expired)),
        (u64::MAX, Some(AssuranceError::Validity)),
    ] {
        assert_eq!(verify(&jws, &authority.der, now, &EXPECTED).err(), error, "{now}");
    }
    let endless = ActionKey::new(&authority).assurance(&edited(|claims| claims.exp = u64::MAX));
    assert!(check(&endless, &authority).is_ok());
}

#[test]
fn a_certificate_that_is_not_an_action_keys_is_refused() {
    let authority = Authority::new();
    let under = |params: &CertificateParams| ActionKey::with(&authority, params).assurance(&claims());
    let edited = |edit: fn(&mut CertificateParams)| {
        let mut params = action_params();
        edit(&mut params);
        under(&params)
    };
    let usage = |purposes: &[&[u8]]| {
        let purposes = purposes.concat();
        under(&purposed(DEVICE, &[&[0x30, purposes.len().try_into().unwrap()], &purposes[..]].concat()))
    };
    let ours = &ASSURANCE_EKU_EXTENSION[2..];
    for (jws, error) in [
        (usage(&[CLIENT_AUTH]), AssuranceError::Purpose),
        (usage(&[CLIENT_AUTH, ours]), AssuranceError::Purpose),
        (usage(&[]), AssuranceError::Purpose),
        // In two extensions.
        (
            edited(|params| {
                params.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
            }),
            AssuranceError::Purpose,
        ),
        (
            edited(|params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained)),
            AssuranceError::Purpose,
        ),
        (edited(|params| params.not_before = date_time_ymd(2028, 1, 1)), AssuranceError::Validity),
        (edited(|params| params.not_after = date_time_ymd(2026, 1, 1)), AssuranceError::Validity),
        (under(&purposed("another", &ASSURANCE_EKU_EXTENSION)), AssuranceError::Subject),
        (under(&purposed(&format!("{DEVICE}\n"), &ASSURANCE_EKU_EXTENSION)), AssuranceError::Subject),
    ] {
        assert_eq!(check(&jws, &authority), Err(error));
    }
    assert_eq!(check(&usage(&[ours]), &authority), Ok(claims()));

    let mut other_curve = ActionKey::new(&authority);
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    other_curve.certificate = authority.certify(&action_params(), &pair);
    assert_eq!(check(&other_curve.assurance(&claims()), &authority), Err(AssuranceError::Key));
}

#[test]
fn a_certificate_of_another_ca_is_refused() {
    let (authority, namesake) = (Authority::new(), Authority::new());
    let jws = ActionKey::new(&namesake).assurance(&claims());
    assert_eq!(check(&jws, &authority), Err(AssuranceError::Issuer));
    let key = ActionKey::new(&authority);
    let jws = key.assurance(&claims());
    for trusted in [&b"not a certificate"[..], &[], &key.certificate] {
        assert_eq!(verify(&jws, trusted, NOW, &EXPECTED), Err(AssuranceError::Authority));
    }
    // A key that certifies itself.
    let pair = KeyPair::generate().unwrap();
    let certificate = action_params().self_signed(&pair).unwrap().der().to_vec();
    let own = ActionKey { pair, certificate, authority: key.authority };
    assert_eq!(check(&own.assurance(&claims()), &authority), Err(AssuranceError::Issuer));
}

#[test]
fn another_header_is_refused() {
    let authority = Authority::new();
    let key = ActionKey::new(&authority);
    let (header, claims) = parts(&key);
    let (good, bad) = (STANDARD.encode(&key.certificate), STANDARD.encode(b"no certificate"));
    for (member, value, error) in [
        ("alg", json!("none"), AssuranceError::Algorithm),
        ("alg", json!("HS256"), AssuranceError::Algorithm),
        ("typ", json!("JWT"), AssuranceError::Type),
        ("x5c", json!([]), AssuranceError::Certificates),
        ("x5c", json!([good, good, good, good, good]), AssuranceError::Certificates),
        ("x5c", json!(["!"]), AssuranceError::Certificates),
        ("x5c", json!([bad, good]), AssuranceError::Certificate),
        ("x5c", json!("AA=="), AssuranceError::Header),
        ("crit", json!(["b64"]), AssuranceError::Header),
        ("jwk", json!({}), AssuranceError::Header),
    ] {
        let mut header = header.clone();
        header[member] = value.clone();
        assert_eq!(check(&signed(&key, &header, &claims), &authority), Err(error), "{member}: {value}");
    }
}

#[test]
fn malformed_claims_are_refused() {
    let authority = Authority::new();
    let key = ActionKey::new(&authority);
    let (header, claims) = parts(&key);
    let refused = |claims: &Value| check(&signed(&key, &header, claims), &authority).unwrap_err();
    for member in ["iss", "sub", "jti", "iat", "exp", "pawl"] {
        let mut less = claims.clone();
        less.as_object_mut().unwrap().remove(member);
        assert_eq!(refused(&less), AssuranceError::Claims, "{member}");
    }
    for (member, value) in [
        ("approved", json!([])),
        ("approved", json!("nobody")),
        ("approved", json!(null)),
        ("digest", json!("AB".repeat(32))),
        ("digest", json!("ab".repeat(31))),
        ("epoch", json!(-1)),
    ] {
        let mut other = claims.clone();
        other["pawl"][member] = value.clone();
        assert_eq!(refused(&other), AssuranceError::Claims, "{member}: {value}");
    }
    let nobody = edited(|claims| claims.pawl.approved = Approved::Persons(Vec::new()));
    assert_eq!(SigningInput::new(&nobody, &[&key.certificate]), Err(AssuranceError::Claims));
}

#[test]
fn an_altered_or_malformed_jws_is_refused() {
    let authority = Authority::new();
    let (key, other) = (ActionKey::new(&authority), ActionKey::new(&authority));
    let jws = key.assurance(&claims());
    let (signed, signature) = jws.rsplit_once('.').unwrap();
    let (header, body) = signed.split_once('.').unwrap();
    let later = edited(|claims| claims.exp += 1);
    let later = SigningInput::new(&later, &[&key.certificate, &authority.der]).unwrap();
    for (jws, error) in [
        (other.sign(signed), AssuranceError::Signature),
        (format!("{}.{signature}", later.as_str()), AssuranceError::Signature),
        (format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64])), AssuranceError::Signature),
        (format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 63])), AssuranceError::Form),
        (format!("{signed}.{signature}="), AssuranceError::Form),
        (format!("{header}.{body}"), AssuranceError::Form),
        (format!("{header}.{body}.{body}.{signature}"), AssuranceError::Form),
        (format!("{header}..{signature}"), AssuranceError::Claims),
        (String::new(), AssuranceError::Form),
        ("a".repeat(ASSURANCE_MAX_LEN + 1), AssuranceError::TooLong),
    ] {
        assert_eq!(check(&jws, &authority), Err(error), "{jws}");
    }
    let long = edited(|claims| claims.pawl.resource = "r".repeat(ASSURANCE_MAX_LEN));
    assert_eq!(SigningInput::new(&long, &[&key.certificate]), Err(AssuranceError::TooLong));
}

/// A receiver must detect reuse by the id: anybody can compute a second valid signature of the same text.
#[test]
fn a_second_text_of_the_same_assurance_has_the_same_id() {
    let authority = Authority::new();
    let jws = ActionKey::new(&authority).assurance(&claims());
    let (signed, signature) = jws.rsplit_once('.').unwrap();
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let (r, s) = signature.split_scalars();
    let mirrored = Signature::from_scalars(r, -s).unwrap();
    let second = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mirrored.to_bytes()));
    assert_ne!(second, jws);
    assert_eq!(check(&second, &authority).unwrap().jti, claims().jti);
}

/// Encodes the number after 2.25 in base 128 (X.690, section 8.19).
#[test]
fn the_key_purpose_in_der_equals_its_text_form() {
    let mut number: u128 = ASSURANCE_EKU.strip_prefix("2.25.").unwrap().parse().unwrap();
    let mut digits = Vec::new();
    while number > 0 {
        let more = if digits.is_empty() { 0 } else { 0x80 };
        digits.insert(0, u8::try_from(number & 0x7f).unwrap() | more);
        number >>= 7;
    }
    let purpose = [&[2 * 40 + 25][..], &digits].concat();
    let length = u8::try_from(purpose.len()).unwrap();
    assert_eq!(ASSURANCE_EKU_EXTENSION[..], [&[0x30, length + 2, 0x06, length][..], &purpose].concat());
}
