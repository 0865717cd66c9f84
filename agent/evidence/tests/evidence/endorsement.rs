use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pawl_evidence::endorsement::{EkTemplate, EndorsementError, VendorCas};
use pawl_evidence::tpm::Public;

use crate::support::boot::Boot;
use crate::support::swtpm::Swtpm;

const NO_INTERMEDIATES: &[&[u8]] = &[];
const P384_POLICY: &[u8] = EkTemplate::EccP384.auth_policy();

/// A TPM whose vendor has a root and an intermediate CA.
struct Device {
    keys: Vec<(Public, Vec<u8>, EkTemplate)>,
    intermediate: Vec<u8>,
    root: Vec<u8>,
}

impl Device {
    fn manufacture() -> Self {
        let tpm = Swtpm::manufacture();
        let key = |handle, certificate, template| {
            tpm.tool("tpm2_nvread", &[certificate, "-C", "o", "-o", "certificate"]);
            (Public::unmarshal(&tpm.public(handle)).unwrap(), tpm.read("certificate"), template)
        };
        Self {
            keys: vec![
                key("0x81010001", "0x01c00002", EkTemplate::Rsa2048),
                key("0x81010016", "0x01c00016", EkTemplate::EccP384),
            ],
            intermediate: tpm.read("ca/issuercert.pem"),
            root: tpm.read("ca/swtpm-localca-rootca-cert.pem"),
        }
    }
}

#[test]
fn certificates_are_checked_from_the_leaf_to_a_trusted_ca() {
    let device = Device::manufacture();
    let by_intermediate = VendorCas::from_files([("vendor.pem", &device.intermediate)]);
    let by_root = VendorCas::from_files([("root.pem", &device.root)]);
    let intermediate = from_pem(&device.intermediate);
    for (ek, leaf, template) in &device.keys {
        let endorsement = by_intermediate.check(ek, leaf, NO_INTERMEDIATES, now()).unwrap();
        assert_eq!((endorsement.template, endorsement.anchor.as_str()), (*template, "vendor.pem"));
        assert_eq!(endorsement.path, ["swtpm-localca"]);

        let endorsement =
            by_root.check(ek, leaf, &[&b"not a certificate"[..], &intermediate], now()).unwrap();
        assert_eq!(endorsement.path, ["swtpm-localca", "swtpm-localca-rootca"]);

        let missing = by_root.check(ek, leaf, NO_INTERMEDIATES, now());
        assert_eq!(missing, Err(EndorsementError::UnknownIssuer("swtpm-localca".into())));
        // The padding of an NV index that is larger than the certificate.
        let padded = [&leaf[..], &[0xff; 300]].concat();
        assert!(by_intermediate.check(ek, &padded, NO_INTERMEDIATES, now()).is_ok());
    }
}

#[test]
fn foreign_altered_and_expired_certificates_are_refused() {
    let (device, stranger) = (Device::manufacture(), Device::manufacture());
    let store = VendorCas::from_files([("vendor.pem", &device.intermediate)]);
    let (ek, leaf, _) = &device.keys[0];
    let check = |ek, leaf: &[u8], now| store.check(ek, leaf, NO_INTERMEDIATES, now);

    assert_eq!(check(&stranger.keys[0].0, leaf, now()), Err(EndorsementError::OtherKey));
    assert_eq!(check(&device.keys[1].0, leaf, now()), Err(EndorsementError::OtherKey));
    let by_namesake = check(&stranger.keys[0].0, &stranger.keys[0].1, now());
    assert_eq!(by_namesake, Err(EndorsementError::Signature("swtpm-localca".into())));
    assert!(matches!(check(ek, leaf, 0), Err(EndorsementError::Validity(_))));
    assert_eq!(check(ek, &leaf[..leaf.len() - 1], now()), Err(EndorsementError::Malformed));

    let mut altered = leaf.clone();
    *altered.last_mut().unwrap() ^= 1;
    assert!(matches!(check(ek, &altered, now()), Err(EndorsementError::Signature(_))));
    // The same certificate without its purpose: 2.23.133.8.1 becomes 2.23.133.8.2.
    let purpose = [0x67, 0x81, 0x05, 0x08, 0x01];
    let at = leaf.windows(5).position(|window| window == purpose).unwrap();
    let mut other_purpose = leaf.clone();
    other_purpose[at + 4] = 2;
    assert_eq!(check(ek, &other_purpose, now()), Err(EndorsementError::Purpose));
    // A CA's certificate is not one for the endorsement key.
    assert_eq!(check(ek, &from_pem(&device.intermediate), now()), Err(EndorsementError::OtherKey));
}

#[test]
fn broken_files_are_skipped_and_the_others_used() {
    let device = Device::manufacture();
    let intermediate = from_pem(&device.intermediate);
    let cut = &intermediate[..intermediate.len() - 1];
    let (ek, leaf, _) = &device.keys[0];
    // Some vendors encode a length in a longer form than necessary, outside of the signed bytes.
    let long_form = [&[0x30, 0x83, 0x00], &intermediate[2..]].concat();
    let files: [(&str, &[u8]); 5] = [
        ("broken.der", cut),
        ("leaf.der", leaf),
        ("text.pem", b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----"),
        ("odd.der", &long_form),
        ("empty", b""),
    ];
    let store = VendorCas::from_files(files);
    let skipped: Vec<_> = store.skipped().iter().map(|skipped| skipped.file.as_str()).collect();
    assert_eq!(skipped, ["broken.der", "leaf.der", "text.pem", "empty"]);
    assert_eq!(store.len(), 1);
    assert_eq!(store.check(ek, leaf, NO_INTERMEDIATES, now()).unwrap().anchor, "odd.der");
}

#[test]
fn public_keys_are_written_as_tpm2_tools_write_them() {
    let tpm = Swtpm::manufacture();
    for handle in ["0x81010001", "0x81010016"] {
        let public = Public::unmarshal(&tpm.public(handle)).unwrap();
        tpm.tool("tpm2_readpublic", &["-c", handle, "-o", "public.pem", "-f", "pem", "-n", "name"]);
        assert_eq!(public.to_spki_pem().unwrap().into_bytes(), tpm.read("public.pem"));
        assert_eq!(public.name().as_bytes(), tpm.read("name"));
    }
}

#[test]
fn all_certificates_of_a_pem_bundle_are_read() {
    let device = Device::manufacture();
    let bundle =
        [&b"Vendor's root:\n"[..], &device.root, &b"and below it\n"[..], &device.intermediate].concat();
    assert_eq!(VendorCas::from_files([("bundle.pem", bundle)]).len(), 2);
}

#[test]
fn a_certificate_by_an_unknown_issuer_is_refused() {
    let leaf = Boot::named("x86-good").read("ek-ecc-cert.der");
    let key = [0x03, 0x62, 0x00, 0x04];
    let at = leaf.windows(4).position(|window| window == key).unwrap() + 4;
    let (x, y) = (&leaf[at..at + 48], &leaf[at + 48..at + 96]);
    let header = [0x00, 0x23, 0x00, 0x0c, 0x00, 0x03, 0x00, 0xf2, 0, 48];
    let scheme = [0x00, 0x06, 0x01, 0x00, 0x00, 0x43, 0x00, 0x10, 0x00, 0x04, 0x00, 0x10, 0, 48];
    let ek = Public::unmarshal(&[&header[..], P384_POLICY, &scheme, x, &[0, 48], y].concat()).unwrap();
    let checked = VendorCas::default().check(&ek, &leaf, NO_INTERMEDIATES, now());
    assert_eq!(checked, Err(EndorsementError::UnknownIssuer("swtpm-localca".into())));
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn from_pem(pem: &[u8]) -> Vec<u8> {
    let pem = std::str::from_utf8(pem).unwrap();
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----").unwrap();
    let (base64, _) = rest.split_once("-----END CERTIFICATE-----").unwrap();
    STANDARD.decode(base64.split_whitespace().collect::<String>()).unwrap()
}
