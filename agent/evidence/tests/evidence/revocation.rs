use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pawl_evidence::endorsement::{EndorsementError, VendorCas};

use crate::support::vendor::Ca;

/// A time in 2026, at which the lists of that year are valid.
const NOW: u64 = 1_780_000_000;
const NO_INTERMEDIATES: &[&[u8]] = &[];

fn revoked(what: &str, issuer: &str) -> EndorsementError {
    EndorsementError::Revoked(what.to_owned(), issuer.to_owned())
}

#[test]
fn a_revoked_endorsement_certificate_is_refused_and_others_are_not() {
    let ca = Ca::root("vendor");
    // Serial numbers with and without the leading zero that DER adds, and longer than a byte.
    let serials = [1, 0x80, 0x1234_5678_9abc_def0, 0xf000_0000_0000_0000];
    let der = ca.list(2026, &serials);
    let pem = format!("-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n", STANDARD.encode(&der));
    for list in [&der[..], pem.as_bytes()] {
        let store = VendorCas::from_files([("vendor.der", &ca.der[..]), ("vendor.crl", list)]);
        assert_eq!(store.skipped(), []);
        for serial in serials {
            let (ek, leaf) = ca.endorse(serial);
            let error = store.check(&ek, &leaf, NO_INTERMEDIATES, NOW).unwrap_err();
            assert_eq!(error, revoked("the endorsement certificate", "vendor"));
            assert_eq!(error.to_string(), "the endorsement certificate was revoked by vendor, its issuer");
            assert!(error.is_adverse());
        }
        for serial in [2, 0x81, 0x1234_5678_9abc_def1] {
            let (ek, leaf) = ca.endorse(serial);
            let endorsement = store.check(&ek, &leaf, NO_INTERMEDIATES, NOW).unwrap();
            assert!(endorsement.stale_lists.is_empty());
        }
    }
}

#[test]
fn a_revoked_intermediate_is_refused_whether_the_device_sends_it_or_the_operator_trusts_it() {
    let root = Ca::root("root");
    let issuing = root.intermediate("issuing", 5);
    let below = issuing.intermediate("below", 6);
    let (ek, leaf) = below.endorse(1);
    let list = root.list(2026, &[5]);
    let sent = [&issuing.der, &below.der];
    let refused = revoked("the certificate of issuing", "root");

    let by_root = VendorCas::from_files([("root", &root.der)]);
    assert!(by_root.check(&ek, &leaf, &sent, NOW).is_ok());
    let by_root = VendorCas::from_files([("root", &root.der), ("list", &list)]);
    assert_eq!(by_root.check(&ek, &leaf, &sent, NOW), Err(refused));

    // Both CAs are in the directory: a CA that a revoked CA issued is not trusted either.
    let files = [("root", &root.der), ("issuing", &issuing.der), ("below", &below.der), ("list", &list)];
    let all = VendorCas::from_files(files);
    let error = all.check(&ek, &leaf, &sent, NOW).unwrap_err();
    assert_eq!(error, revoked("the certificate of below", "issuing"));
    assert_eq!(all.len(), 1);
    let marked: Vec<_> = all.cas().filter_map(|(file, _, revoked_by)| Some((file, revoked_by?))).collect();
    assert_eq!(marked, [("issuing", "root"), ("below", "issuing")]);
    let only_revoked = [("root", &root.der), ("issuing", &issuing.der), ("list", &list)];
    assert!(!VendorCas::from_files(only_revoked).is_empty());
}

#[test]
fn the_list_of_an_intermediate_that_the_device_sends_counts() {
    let root = Ca::root("root");
    let issuing = root.intermediate("issuing", 5);
    let (ek, leaf) = issuing.endorse(9);
    let store = VendorCas::from_files([("root", &root.der), ("list", &issuing.list(2026, &[9]))]);
    let refused = store.check(&ek, &leaf, &[&issuing.der], NOW);
    assert_eq!(refused, Err(revoked("the endorsement certificate", "issuing")));
}

#[test]
fn a_list_that_its_issuer_did_not_sign_revokes_nothing() {
    let (ca, namesake) = (Ca::root("vendor"), Ca::root("vendor"));
    let (ek, leaf) = ca.endorse(1);
    let mut altered = ca.list(2026, &[1]);
    *altered.last_mut().unwrap() ^= 1;
    for forged in [namesake.list(2026, &[1]), altered] {
        let store = VendorCas::from_files([("vendor", &ca.der), ("list", &forged)]);
        assert_eq!(store.skipped()[0].reason, "it is not signed by vendor, its issuer");
        assert!(store.check(&ek, &leaf, NO_INTERMEDIATES, NOW).is_ok());
    }
    // The list of a CA with the same name applies only to certificates of that CA.
    let files = [("vendor", &ca.der), ("namesake", &namesake.der), ("list", &namesake.list(2026, &[1]))];
    let store = VendorCas::from_files(files);
    assert!(store.check(&ek, &leaf, NO_INTERMEDIATES, NOW).is_ok());
    let (ek, leaf) = namesake.endorse(1);
    assert!(store.check(&ek, &leaf, NO_INTERMEDIATES, NOW).is_err());
}

#[test]
fn an_outdated_list_still_revokes_and_is_reported() {
    let ca = Ca::root("vendor");
    let (ek, leaf) = ca.endorse(1);
    let (other_ek, other_leaf) = ca.endorse(2);
    for year in [2025, 2030] {
        let store = VendorCas::from_files([("vendor", &ca.der), ("list", &ca.list(year, &[1]))]);
        assert!(store.lists().all(|(_, list)| list.is_stale_at(NOW)));
        let refused = store.check(&ek, &leaf, NO_INTERMEDIATES, NOW);
        assert_eq!(refused, Err(revoked("the endorsement certificate", "vendor")));
        let endorsement = store.check(&other_ek, &other_leaf, NO_INTERMEDIATES, NOW).unwrap();
        assert_eq!(endorsement.stale_lists, ["vendor"]);
    }
}

#[test]
fn of_the_lists_of_one_scope_the_newest_counts() {
    let ca = Ca::root("vendor");
    let (ek, leaf) = ca.endorse(1);
    let released = [("vendor", &ca.der), ("old", &ca.list(2025, &[1])), ("new", &ca.list(2026, &[]))];
    let endorsement = VendorCas::from_files(released).check(&ek, &leaf, NO_INTERMEDIATES, NOW).unwrap();
    assert!(endorsement.stale_lists.is_empty());
    // Lists of different scopes all count.
    let parts = [
        ("vendor", &ca.der),
        ("one", &ca.list_of(2025, &[1], Some("http://vendor.example/1.crl"))),
        ("two", &ca.list_of(2026, &[], Some("http://vendor.example/2.crl"))),
    ];
    let store = VendorCas::from_files(parts);
    assert_eq!(store.skipped(), []);
    assert!(store.check(&ek, &leaf, NO_INTERMEDIATES, NOW).is_err());
}

#[test]
fn unsupported_lists_are_skipped_with_the_reason() {
    let ca = Ca::root("vendor");
    let list = ca.list_of(2026, &[1], Some("http://vendor.example/1.crl"));
    // Turns the list's number into a delta indicator, its critical scope into an unknown extension, and its scope into
    // an indirect one.
    let cases: [(&[u8], &[u8], &str); 3] = [
        (&[0x55, 0x1d, 0x14], &[0x55, 0x1d, 0x1b], "delta"),
        (&[0x55, 0x1d, 0x1c], &[0x55, 0x1d, 0x7f], "critical"),
        (&[0x81, 0x01, 0xff], &[0x84, 0x01, 0xff], "indirect"),
    ];
    for (from, to, reason) in cases {
        let at = list.windows(3).position(|window| window == from).unwrap();
        let mut other = list.clone();
        other[at..at + 3].copy_from_slice(to);
        let store = VendorCas::from_files([("vendor", &ca.der), ("list", &other)]);
        assert!(store.skipped()[0].reason.contains(reason), "{:?}", store.skipped());
    }
}

#[test]
fn cut_and_altered_lists_are_refused() {
    let ca = Ca::root("vendor");
    let (ek, leaf) = ca.endorse(2);
    let list = ca.list(2026, &[1]);
    let accepts = |bytes: &[u8]| {
        let store = VendorCas::from_files([("vendor", &ca.der[..]), ("list", bytes)]);
        assert!(store.check(&ek, &leaf, NO_INTERMEDIATES, NOW).is_ok());
        store.lists().count() == 1
    };
    assert!(accepts(&list));
    for length in 0..list.len() {
        assert!(!accepts(&list[..length]), "cut at {length}");
    }
    for at in 0..list.len() {
        let mut altered = list.clone();
        altered[at] ^= 0x04;
        // The store keeps a list of an unknown issuer, for CAs that devices send.
        let store = VendorCas::from_files([("vendor", &ca.der[..]), ("list", &altered[..])]);
        let accepted = store.lists().any(|(_, list)| list.check(store.cas().map(|(_, ca, _)| ca)).is_ok());
        assert!(!accepted, "altered at {at}");
    }
}

#[test]
fn certificates_are_checked_with_their_nv_wrappings() {
    let root = Ca::root("root");
    let issuing = root.intermediate("issuing", 5);
    let (ek, leaf) = issuing.endorse(1);
    let store = VendorCas::from_files([("root", &root.der)]);
    let wrap = |der: &[u8], header: &[u8], padding: &[u8]| {
        let length = u16::try_from(der.len()).unwrap().to_be_bytes();
        [header, &length, der, padding].concat()
    };
    for padding in [&[][..], &[0; 40], &[0xff; 40]] {
        for header in [&[0x04, 0x82][..], &[0x10, 0x01, 0x00]] {
            let (leaf, issuing) = (wrap(&leaf, header, padding), wrap(&issuing.der, header, padding));
            let endorsement = store.check(&ek, &leaf, &[&issuing], NOW).unwrap();
            assert_eq!(endorsement.path, ["issuing", "root"]);
        }
    }
}
