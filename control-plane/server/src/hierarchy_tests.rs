//! Tests that every check of an attestation refuses one by a key outside of the endorsement hierarchy: the TPM
//! obfuscates the reset counts in it, so a lease over them would survive more resets than it allows.

use pawl_proto::message::{PairingApproved, PairingProof, RefusalCode, SessionProof};

use crate::orders;
use crate::pairing;
use crate::refusal::RequestError;
use crate::testing::{Device, ENDORSEMENT, OWNER, Reporting, Rig};
use pawl_verifier::Refusal;

const WHY: &str = "not a primary of the endorsement hierarchy";

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(what: &str, result: Result<T, RequestError>) {
    let Err(RequestError::Refused(Refusal { code, message })) = result else {
        panic!("{what}: not refused: {result:?}")
    };
    assert_eq!(code, RefusalCode::Proof, "{what}: {message}");
    assert!(message.contains(WHY), "{what}: {message}");
}

#[tokio::test]
async fn a_session_whose_attestations_are_by_an_owner_key_is_refused() {
    type Part = fn(&mut SessionProof, SessionProof);
    let parts: [(&str, Part); 2] = [
        ("counter", |proof, other| {
            (proof.counter_attest, proof.counter_signature) = (other.counter_attest, other.counter_signature);
        }),
        ("report", |proof, other| proof.report = other.report),
    ];
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    for (what, replace) in parts {
        let offer = pairing::offer(&rig.plane, device.request()).await.unwrap();
        let mut proof = device.session_proof(&offer);
        device.tpm.hierarchy = OWNER;
        replace(&mut proof, device.session_proof(&offer));
        device.tpm.hierarchy = ENDORSEMENT;
        assert_refused(what, pairing::open(&rig.plane, offer.session, proof, device.network).await);
    }
}

#[tokio::test]
async fn a_pairing_whose_attestations_are_by_an_owner_key_is_refused() {
    type Part = fn(&mut Device, &PairingApproved, &mut PairingProof);
    let parts: [(&str, Part); 6] = [
        ("link key", |device, approved, proof| {
            proof.link_key = device.certified(proof.link_key.public.as_bytes().to_vec(), &approved.nonce.0);
        }),
        ("device key", |device, approved, proof| {
            proof.device_key =
                device.certified(proof.device_key.public.as_bytes().to_vec(), &approved.nonce.0);
        }),
        ("vault key", |device, approved, proof| {
            proof.vault_key = device.certified(proof.vault_key.public.as_bytes().to_vec(), &approved.nonce.0);
        }),
        ("action key", |device, approved, proof| {
            proof.action_key =
                device.certified(proof.action_key.public.as_bytes().to_vec(), &approved.nonce.0);
        }),
        ("counter", |device, approved, proof| {
            (proof.counter_attest, proof.counter_signature) = device.tpm.certify_counter(&approved.nonce.0);
        }),
        ("report", |device, approved, proof| proof.report = device.report(approved.nonce, None)),
    ];
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    for (what, replace) in parts {
        let paired = device
            .pair_with(&rig.plane, |device, approved, proof| {
                device.tpm.hierarchy = OWNER;
                replace(device, approved, proof);
                device.tpm.hierarchy = ENDORSEMENT;
            })
            .await;
        assert_refused(what, paired);
    }
    device.pair(&rig.plane).await.unwrap();
}

#[tokio::test]
async fn a_report_by_an_owner_key_is_refused() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    reporting.device.tpm.hierarchy = OWNER;
    assert!(reporting.try_report().await.is_none(), "the control plane answered it");
    reporting.device.tpm.hierarchy = ENDORSEMENT;
    assert!(reporting.try_report().await.unwrap().lease.is_some());
}

#[tokio::test]
async fn a_receipt_by_an_owner_key_is_refused() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    device.pair(&rig.plane).await.unwrap();
    device.tpm.hierarchy = OWNER;
    let receipt = device.wipe(None);
    let refused = orders::receive_receipt(&rig.plane, None, receipt).await.unwrap_err();
    assert!(refused.to_string().contains(WHY), "{refused}");
}
