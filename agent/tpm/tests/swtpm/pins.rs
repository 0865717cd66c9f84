//! Sessions are salted to keys that are known, not to whatever key the bus answers with.

use pawl_evidence::tpm::{HashAlgorithm, PublicKey};
use pawl_proto::message::Credential;
use pawl_tpm::{Error, Tpm};
use zeroize::Zeroizing;

use crate::rig::{Exchange, Paired, Rig, command};

const OWNER: [u8; 4] = [0x40, 0, 0, 1];
const ENDORSEMENT: [u8; 4] = [0x40, 0, 0, 0x0b];

/// Has the bus answer with another key wherever the TPM makes a P-256 storage key in this hierarchy.
fn replace_keys(rig: &Rig, hierarchy: [u8; 4]) {
    rig.proxy.alter_answers(move |command, answer| {
        let makes_one =
            command[6..10] == command::CREATE_PRIMARY.to_be_bytes() && command[10..14] == hierarchy;
        // The label of the attestation key's template.
        let is_ak = command.windows(4).any(|window| window == b"pawl");
        if makes_one && !is_ak && answer.len() > 20 {
            replace_key(answer);
        }
    });
}

/// Puts the base point of P-256 (SEC 2, 2.4.2), whose private key is 1, in the place of the key, and the name that goes with
/// it.
fn replace_key(answer: &mut [u8]) {
    const PUBLIC: usize = 18;
    let size = usize::from(u16::from_be_bytes([answer[PUBLIC], answer[PUBLIC + 1]]));
    let public = PUBLIC + 2..PUBLIC + 2 + size;
    let before = HashAlgorithm::Sha256.digest(&[&answer[public.clone()]]);
    let x = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
    let y = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    answer[public.end - 66..public.end - 34].copy_from_slice(&hex::decode(x).unwrap());
    answer[public.end - 32..public.end].copy_from_slice(&hex::decode(y).unwrap());
    let after = HashAlgorithm::Sha256.digest(&[&answer[public]]);
    let name = answer.windows(32).position(|window| window == before.as_bytes()).unwrap();
    answer[name..name + 32].copy_from_slice(after.as_bytes());
}

/// Sessions whose salt was encrypted to a key.
fn salted(exchanges: &[Exchange]) -> usize {
    let sessions = exchanges.iter().filter(|exchange| exchange.code() == command::START_AUTH_SESSION);
    sessions.filter(|exchange| exchange.command[10..14] != [0x40, 0, 0, 7]).count()
}

#[tokio::test]
async fn a_storage_key_that_is_replaced_on_the_bus_gets_no_salt() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let lease = paired.lease().await;
    paired.tpm.unseal(&paired.keys.vault, &lease).await.unwrap();
    // Another process, which makes the storage key anew.
    paired.tpm.clone().close();
    let tpm = rig.open();
    tpm.pin_storage_key(&paired.keys.storage_key);
    replace_keys(&rig, OWNER);
    rig.proxy.take();
    let refused = tpm.unseal(&paired.keys.vault, &lease).await.unwrap_err();
    assert!(matches!(refused, Error::KeyReplaced { key: "storage root key" }), "{refused}");
    let refused = tpm.sign_with_link(&paired.keys.link, paired.counter.epoch, [1; 32]).await.unwrap_err();
    assert!(matches!(refused, Error::KeyReplaced { .. }), "{refused}");
    assert_eq!(salted(&rig.proxy.take()), 0);

    rig.proxy.leave_answers();
    tpm.unseal(&paired.keys.vault, &lease).await.unwrap();
    assert!(salted(&rig.proxy.take()) > 0);
}

#[tokio::test]
async fn an_endorsement_key_that_is_replaced_on_the_bus_gets_no_salt() {
    let rig = Rig::new();
    let tpm = rig.open();
    // What the control plane is shown is pinned.
    tpm.identity().await.unwrap();
    replace_keys(&rig, ENDORSEMENT);
    rig.proxy.take();
    let credential =
        Credential { id_object: vec![1; 50].try_into().unwrap(), secret: vec![2; 68].try_into().unwrap() };
    let refused = tpm.activate_credential(credential).await.unwrap_err();
    assert!(matches!(refused, Error::KeyReplaced { key: "endorsement key" }), "{refused}");
    assert_eq!(salted(&rig.proxy.take()), 0);
}

#[tokio::test]
async fn the_owner_authorization_is_not_proven_to_a_replaced_key() {
    let rig = Rig::new();
    rig.tool("tpm2_changeauth -c owner secret");
    let owner_auth = Some(Zeroizing::new(b"secret".to_vec()));
    let tpm = Tpm::start(pawl_tpm::Options { owner_auth, ..rig.options() }).unwrap();
    tpm.identity().await.unwrap();
    replace_keys(&rig, ENDORSEMENT);
    rig.proxy.take();
    let refused = tpm.provision_counter().await.unwrap_err();
    assert!(matches!(refused, Error::KeyReplaced { key: "endorsement key" }), "{refused}");
    assert_eq!(salted(&rig.proxy.take()), 0);
    rig.proxy.leave_answers();
    tpm.provision_counter().await.unwrap();
}

/// Without a pin the TPM's certificate tells.
#[tokio::test]
async fn an_endorsement_key_that_does_not_fit_its_certificate_gets_no_salt() {
    let rig = Rig::certified();
    let tpm = rig.open();
    let identity = tpm.identity().await.unwrap();
    let point = match pawl_evidence::tpm::Public::unmarshal(&identity.ek_public).unwrap().key() {
        PublicKey::Ecc { x, .. } => x.clone(),
        other => panic!("the factory certifies P-384: {other:?}"),
    };
    tpm.close();
    rig.tool("tpm2_changeauth -c owner secret");
    let owner_auth = Some(Zeroizing::new(b"secret".to_vec()));
    // The certificate is read from NV: another one is in its place.
    rig.proxy.alter_answers(move |_, answer| {
        if let Some(at) = answer.windows(point.len()).position(|window| window == point) {
            // TPM2_CreatePrimary answers with the same point, and is left alone.
            if answer[..at].windows(2).any(|window| window == [0x30, 0x82]) {
                answer[at] ^= 1;
            }
        }
    });
    let tpm = Tpm::start(pawl_tpm::Options { owner_auth, ..rig.options() }).unwrap();
    let refused = tpm.provision_counter().await.unwrap_err();
    assert!(matches!(refused, Error::KeyReplaced { key: "endorsement key" }), "{refused}");
    rig.proxy.leave_answers();
    tpm.provision_counter().await.unwrap();
}
