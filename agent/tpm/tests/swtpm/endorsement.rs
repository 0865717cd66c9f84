//! The endorsement keys: found again from their templates, certified, and good for activation.

use pawl_evidence::{
    credential::make_credential,
    rand_core::OsRng,
    tpm::{Name, Public},
};
use pawl_proto::message::Credential;
use pawl_tpm::{Class, EndorsementChoice, EndorsementKind, Options, Tpm};

use crate::rig::Rig;

const KINDS: [EndorsementKind; 3] =
    [EndorsementKind::Rsa2048, EndorsementKind::EccP256, EndorsementKind::EccP384];

fn open(rig: &Rig, endorsement: EndorsementChoice) -> Tpm {
    Tpm::start(Options { endorsement, ..rig.options() }).unwrap()
}

pub(crate) fn credential(ek: &[u8], ak_name: &[u8], secret: &[u8]) -> Credential {
    let ek = Public::unmarshal(ek).unwrap();
    make_credential(&ek, &Name::from_bytes(ak_name).unwrap(), secret, &mut OsRng).unwrap()
}

#[tokio::test]
async fn a_credential_opens_in_the_tpm_that_it_was_made_for() {
    let rig = Rig::new();
    for kind in KINDS {
        let tpm = open(&rig, EndorsementChoice::Only(kind));
        let identity = tpm.identity().await.unwrap();
        assert_eq!(identity.endorsement, kind);
        let secret = [0xa5; 32];
        let good = credential(&identity.ek_public, &identity.ak_name, &secret);
        rig.proxy.take();
        assert_eq!(*tpm.activate_credential(good).await.unwrap(), secret, "{kind}");
        for exchange in rig.proxy.take() {
            assert!(!exchange.response.windows(32).any(|window| window == secret), "{kind}: in the clear");
        }

        let mut other = identity.ak_name.clone();
        other[10] ^= 1;
        let error =
            tpm.activate_credential(credential(&identity.ek_public, &other, &secret)).await.unwrap_err();
        assert_eq!(error.response_code().unwrap().class(), Class::Input, "{kind}: {error}");
    }
}

#[tokio::test]
async fn certificates_are_read_and_are_of_the_key() {
    let rig = Rig::certified();
    for (choice, certified) in [
        (EndorsementChoice::Auto, Some(EndorsementKind::EccP384)),
        (EndorsementChoice::Only(EndorsementKind::Rsa2048), Some(EndorsementKind::Rsa2048)),
        (EndorsementChoice::Only(EndorsementKind::EccP256), None),
    ] {
        let identity = open(&rig, choice).identity().await.unwrap();
        let Some(kind) = certified else {
            assert!(identity.ek_certificates.is_empty());
            continue;
        };
        assert_eq!(identity.endorsement, kind);
        let leaf = identity.ek_certificates.first().unwrap();
        let key = Public::unmarshal(&identity.ek_public).unwrap().to_spki_der().unwrap();
        assert!(
            leaf.windows(key.len()).any(|window| window == key),
            "{kind}: the certificate is of another key"
        );
    }
}

#[tokio::test]
async fn without_a_certificate_it_is_p256() {
    let identity = Rig::new().open_identity().await;
    assert_eq!(identity.endorsement, EndorsementKind::EccP256);
    assert!(identity.ek_certificates.is_empty());
}

impl Rig {
    async fn open_identity(self) -> pawl_tpm::Identity {
        self.open().identity().await.unwrap()
    }
}

#[tokio::test]
async fn the_chain_in_nv_comes_after_the_leaf() {
    let rig = Rig::certified();
    let first = [&[0x30, 0x82, 0x01, 0x00][..], &[7; 256]].concat();
    let second = [0x30, 3, 2, 1, 9];
    // The chain goes on across the bounds of indices.
    let whole = [&first[..], &second].concat();
    let (low, high) = whole.split_at(100);
    for (index, part, reader) in [(0x01c0_0100, low, "authread"), (0x01c0_0101, high, "ownerread")] {
        rig.write("part", part);
        rig.tool(&format!(
            "tpm2_nvdefine -C p {index:#x} -s {} -a ppwrite|{reader}|no_da|platformcreate",
            part.len()
        ));
        rig.tool(&format!("tpm2_nvwrite -C p {index:#x} -i part"));
    }
    let identity = open(&rig, EndorsementChoice::Auto).identity().await.unwrap();
    assert_eq!(identity.ek_certificates[1..], [first, second.to_vec()]);
}

/// Puts contents into the index of the certificate of the P-256 key, which swtpm's factory leaves out.
fn put_p256_certificate(rig: &Rig, contents: &[u8]) {
    rig.write("part", contents);
    let size = contents.len();
    rig.tool(&format!("tpm2_nvdefine -C p 0x01c0000a -s {size} -a ppwrite|authread|no_da|platformcreate"));
    rig.tool("tpm2_nvwrite -C p 0x01c0000a -i part");
}

#[tokio::test]
async fn a_certificate_is_read_without_what_its_maker_wrapped_around_it() {
    let rig = Rig::certified();
    let certified = open(&rig, EndorsementChoice::Only(EndorsementKind::EccP384));
    let certificate = certified.identity().await.unwrap().ek_certificates.remove(0);
    certified.close();
    let length = u16::try_from(certificate.len()).unwrap().to_be_bytes();
    let wrapped = |header: &[u8]| [header, &length, &certificate].concat();
    let wrappings = [
        certificate.clone(),
        wrapped(&[0x04, 0x82]),
        wrapped(&[0x10, 0x01, 0x00]),
        [&[0x10, 0x01, 0x00][..], &length, &[0x10, 0x02], &certificate].concat(),
    ];
    for (wrapping, padding) in wrappings.iter().zip([[0x00; 64], [0xff; 64], [0x00; 64], [0xff; 64]]) {
        put_p256_certificate(&rig, &[&wrapping[..], &padding].concat());
        let tpm = open(&rig, EndorsementChoice::Only(EndorsementKind::EccP256));
        assert_eq!(tpm.identity().await.unwrap().ek_certificates, std::slice::from_ref(&certificate));
        tpm.close();
        rig.tool("tpm2_nvundefine -C p 0x01c0000a");
    }
}

#[tokio::test]
async fn an_index_without_a_certificate_in_it_chooses_no_key() {
    for contents in [[0xff; 800], [0x00; 800]] {
        let rig = Rig::certified();
        put_p256_certificate(&rig, &contents);
        let identity = open(&rig, EndorsementChoice::Auto).identity().await.unwrap();
        assert_eq!(identity.endorsement, EndorsementKind::EccP384);
        assert!(!identity.ek_certificates.is_empty());
    }
}

#[tokio::test]
async fn the_attestation_key_survives_a_clear_of_the_tpm() {
    let rig = Rig::new();
    let before = rig.open().identity().await.unwrap();
    rig.tool("tpm2_clear -c p");
    let after = rig.open().identity().await.unwrap();
    assert_eq!((before.ak_name, before.ek_public), (after.ak_name, after.ek_public));
}

/// A power cut counts as a failed guess where something was used that the TPM protects against guessing. Pairing uses
/// nothing of that kind, or a few cuts would lock the TPM: swtpm after three.
#[tokio::test]
async fn power_cuts_lock_no_tpm() {
    let mut rig = Rig::new();
    for kind in KINDS {
        for cut in 1..=5 {
            let tpm = open(&rig, EndorsementChoice::Only(kind));
            let identity = tpm.identity().await.unwrap();
            let secret = [0xa5; 32];
            let opened =
                tpm.activate_credential(credential(&identity.ek_public, &identity.ak_name, &secret)).await;
            assert_eq!(*opened.unwrap_or_else(|error| panic!("{kind}, cut {cut}: {error}")), secret);
            tpm.close();
            rig.reset();
        }
    }
    let variables = rig.tool("tpm2_getcap properties-variable");
    assert!(variables.contains("TPM2_PT_LOCKOUT_COUNTER: 0x0"), "{variables}");
}
