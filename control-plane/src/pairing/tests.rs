use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use pawl_evidence::lease::{LeaseTerms, to_be_signed};
use pawl_evidence::tpm::{HashAlgorithm, PcrSelection};
use pawl_proto::message::{Appraisal, RefusalCode, Standing};
use pawl_proto::{Blob, Digest, Nonce};

use super::*;
use crate::orders;
use crate::store::PairingState;
use crate::testing::{Device, Rig, decode_verdict, request_for};

fn refused<T: std::fmt::Debug>(result: Result<T, PairingError>) -> Refusal {
    match result {
        Err(PairingError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_device_that_proves_its_claim_is_paired_with_a_lease() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    let grant = device.pair(&rig.plane).await.unwrap();
    assert_eq!((grant.device, grant.epoch.0), (device.id(), 7));
    assert_eq!(grant.endorsement.as_str(), "enrolled by hash");

    let verdict = decode_verdict(&rig.plane, device.id(), grant.verdict.as_bytes());
    assert_eq!(verdict.result, Some(Appraisal::Warning), "no boot log: {:?}", verdict.reasons);
    let lease = verdict.lease.unwrap();
    assert_eq!(lease.reset_count, device.tpm.reset_count + 3);
    assert_eq!(lease.clock, device.tpm.clock + 900_000);
    assert!(device.next_verdict(&rig.plane).await.is_none(), "it came with the grant");
}

#[tokio::test]
async fn the_lease_is_what_the_tpm_will_compute() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    let grant = device.pair(&rig.plane).await.unwrap();
    let lease = decode_verdict(&rig.plane, device.id(), grant.verdict.as_bytes()).lease.unwrap();
    let pairing = grant.pairing;
    let stored = rig.plane.store.transaction(move |tx| tx.pairing(pairing)).await.unwrap().unwrap();

    let values: Vec<u8> = lease.pcrs.iter().flat_map(|index| *device.tpm.pcrs[index].as_bytes()).collect();
    assert_eq!(lease.pcr_digest, Digest::of(&values));
    let terms = LeaseTerms {
        selection: PcrSelection::new(HashAlgorithm::Sha256, lease.pcrs).unwrap(),
        pcr_digest: lease.pcr_digest.0,
        counter_name: device.tpm.counter.name(),
        epoch: 7,
        reset_count_max: lease.reset_count,
        clock_before: lease.clock,
    };
    let signed = to_be_signed(&terms.approved_policy(), stored.policy_ref.as_bytes());
    let signature = Signature::from_slice(lease.signature.as_bytes()).unwrap();
    lease_key(&rig).verify_prehash(&signed, &signature).unwrap();
}

fn lease_key(rig: &Rig) -> VerifyingKey {
    crate::token::verifying_key(rig.plane.keys.signing.lease.public()).unwrap()
}

#[tokio::test]
async fn an_unknown_device_is_told_how_to_be_enrolled() {
    let rig = Rig::new();
    let device = Device::new();
    let refusal = refused(offer(&rig.plane, device.request()).await);
    assert_eq!(refusal.code, RefusalCode::NotEnrolled);
    let command = format!("pawl-control-plane enrol --ek-sha256 {}", device.tpm.ek_sha256());
    assert!(refusal.message.contains(&command), "{}", refusal.message);
    assert_eq!(refusal.to_message().message.as_str(), refusal.message, "it is cut on the wire");
}

#[tokio::test]
async fn an_id_that_does_not_follow_from_the_key_is_refused() {
    let rig = Rig::new();
    let mut request = Device::enrolled(&rig.plane).await.request();
    request.device = pawl_proto::DeviceId::from_digest([9; 32]);
    assert_eq!(refused(offer(&rig.plane, request).await).code, RefusalCode::Malformed);
}

#[tokio::test]
async fn a_proof_with_any_part_wrong_is_refused() {
    type Tamper = fn(&mut Device, &pawl_proto::message::PairingOffer, &mut PairingProof);
    let cases: [(&str, Tamper); 9] = [
        ("credential", |_, _, proof| proof.secret = Blob::new(vec![0; 32]).unwrap()),
        ("device key", |device, offer, proof| {
            let public = pawl_evidence::lease::lease_key_public(&[1; 32], &[2; 32]);
            proof.device_key = device.certified(public.as_bytes().to_vec(), &offer.nonce.0);
        }),
        ("device key", |device, offer, proof| proof.device_key = device.loose_device_key(offer)),
        // Certified is another object than the one that is shown.
        ("device key", |_, _, proof| proof.device_key.attest = proof.vault_key.attest.clone()),
        ("link key", |device, _, proof| {
            proof.link_key = device.certified(proof.link_key.public.as_bytes().to_vec(), &[0; 32]);
        }),
        ("epoch counter", |device, offer, proof| {
            device.tpm.epoch += 1;
            (proof.counter_attest, proof.counter_signature) = device.tpm.certify_counter(&offer.nonce.0);
            device.tpm.epoch -= 1;
        }),
        ("nonce", |device, _, proof| proof.report = device.report(Nonce([0; 32]), None)),
        ("PCR values", |device, offer, proof| {
            let mut evidence = device.evidence(offer.nonce, None);
            evidence.pcrs.insert(4, Digest([0xee; 32]));
            proof.report = device.quoted(&evidence);
        }),
        ("certificate request", |device, _, proof| proof.link_request = request_for(&device.device_key)),
    ];
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    for (part, tamper) in cases {
        let refusal = refused(device.pair_with(&rig.plane, tamper).await);
        assert_eq!(refusal.code, RefusalCode::Proof, "{part}: {refusal}");
        assert!(refusal.message.contains(part), "{part}: {refusal}");
    }
    let granted = device.pair(&rig.plane).await;
    assert!(granted.is_ok(), "what was refused has left traces: {granted:?}");
}

#[tokio::test]
async fn an_offer_is_good_for_one_try_and_ten_minutes() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    let offered = offer(&rig.plane, device.request()).await.unwrap();
    let secret = rig.plane.offers.secret(offered.pairing).unwrap();
    let proof = device.proof(&offered, &secret);
    rig.clock.advance(600);
    assert_eq!(refused(prove(&rig.plane, offered.pairing, proof.clone()).await).code, RefusalCode::Stale);

    let offered = offer(&rig.plane, device.request()).await.unwrap();
    let refusal = refused(prove(&rig.plane, offered.pairing, proof.clone()).await);
    assert_eq!(refusal.code, RefusalCode::Proof);
    assert_eq!(refused(prove(&rig.plane, offered.pairing, proof).await).code, RefusalCode::Stale);
}

#[tokio::test]
async fn an_epoch_is_paired_once_and_the_next_one_ends_it() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    let first = device.pair(&rig.plane).await.unwrap();
    let refusal = refused(offer(&rig.plane, device.request()).await);
    assert_eq!(refusal.code, RefusalCode::EpochSpent);

    device.tpm.epoch += 1;
    device.pair(&rig.plane).await.unwrap();
    let ended = rig.plane.store.transaction(move |tx| tx.pairing(first.pairing)).await.unwrap().unwrap();
    assert_eq!(ended.state, PairingState::Ended);
}

#[tokio::test]
async fn a_tpm_that_went_back_in_time_is_refused() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    device.pair(&rig.plane).await.unwrap();
    let snapshot = device.tpm.clock;
    let receipt = device.wipe(None);
    orders::receive_receipt(&rig.plane, None, receipt).await.unwrap();

    device.tpm.clock = snapshot - 1_000;
    assert_eq!(refused(device.pair(&rig.plane).await).code, RefusalCode::WentBackwards);
    device.tpm.epoch -= 1;
    assert_eq!(refused(device.pair(&rig.plane).await).code, RefusalCode::EpochSpent);
}

#[tokio::test]
async fn a_suspended_device_is_not_paired() {
    let rig = Rig::new();
    let device = Device::enrolled(&rig.plane).await;
    orders::suspend(&rig.plane, device.id(), "stolen".to_owned()).await.unwrap();
    let refusal = refused(offer(&rig.plane, device.request()).await);
    assert_eq!(refusal.code, RefusalCode::Suspended);
    assert!(refusal.message.contains("stolen"), "{refusal}");
}

#[tokio::test]
async fn another_boot_state_is_refused_until_an_operator_accepts_it() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    device.pair(&rig.plane).await.unwrap();
    device.tpm.epoch += 1;
    device.tpm.pcrs.insert(4, Digest([0xaa; 32]));
    let refusal = refused(device.pair(&rig.plane).await);
    assert_eq!(refusal.code, RefusalCode::Posture);
    assert!(refusal.message.contains("PCR 4"), "{refusal}");

    assert_eq!(orders::accept(&rig.plane, device.id()).await.unwrap(), (2, true));
    let grant = device.pair(&rig.plane).await.unwrap();
    let verdict = decode_verdict(&rig.plane, device.id(), grant.verdict.as_bytes());
    assert_eq!((verdict.standing, verdict.lease.is_some()), (Standing::Active, true));
}
