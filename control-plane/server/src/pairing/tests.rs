use std::sync::Arc;

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use pawl_evidence::lease::{LeaseTerms, to_be_signed};
use pawl_evidence::tpm::{HashAlgorithm, PcrSelection};
use pawl_proto::message::{
    PairingApproved, PairingOffer, PairingProof, RefusalCode, SessionProof, Standing, TrustTier,
};
use pawl_proto::{Blob, DeviceId, Digest, Nonce, SessionId};

use super::{Progress, offer, prove};
use crate::control_plane::ControlPlane;
use crate::http::Network;
use crate::orders;
use crate::refusal::RequestError;
use crate::testing::{Device, Rig, decode_verdict, request_for};
use pawl_verifier::Refusal;
use pawl_verifier::pairing::PairingState;

fn refused<T: std::fmt::Debug>(result: Result<T, RequestError>) -> Refusal {
    match result {
        Err(RequestError::Refused(refusal)) => refusal,
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
    assert_eq!(verdict.result, Some(TrustTier::Warning), "no boot log: {:?}", verdict.reasons);
    let lease = verdict.lease.unwrap();
    assert_eq!(lease.reset_count, device.tpm.reset_count + 3);
    assert_eq!(lease.clock, device.tpm.clock + 900_000);
    assert!(device.next_verdict(&rig.plane).await.is_none(), "the grant contained it");
}

#[tokio::test]
async fn the_lease_key_signs_the_policy_that_the_tpm_computes() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    let grant = device.pair(&rig.plane).await.unwrap();
    let lease = decode_verdict(&rig.plane, device.id(), grant.verdict.as_bytes()).lease.unwrap();
    let pairing = grant.pairing;
    let stored = rig.plane.store.transaction(move |tx| tx.pairing(pairing)).await.unwrap().unwrap();

    let values: Vec<u8> =
        lease.pcrs.iter().flat_map(|index| device.tpm.pcrs[index].as_bytes().to_vec()).collect();
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
    pawl_verifier::pairing::verifying_key(rig.plane.keys.signing.lease.public()).unwrap()
}

#[tokio::test]
async fn the_refusal_of_an_unknown_device_names_the_enrol_command() {
    let rig = Rig::new();
    let mut device = Device::new();
    let request = device.request();
    let refusal = refused(device.ask(&rig.plane, request).await);
    assert_eq!(refusal.code, RefusalCode::NotEnrolled);
    let command = format!("pawl-control-plane enrol --ek-sha256 {}", device.tpm.ek_sha256());
    assert!(refusal.message.contains(&command), "{}", refusal.message);
    assert_eq!(refusal.to_message().message.as_str(), refusal.message, "the wire message is truncated");
}

#[tokio::test]
async fn an_id_that_is_not_derived_from_the_endorsement_key_is_refused() {
    let rig = Rig::new();
    let mut request = Device::enrolled(&rig.plane).await.request();
    request.device = pawl_proto::DeviceId::from_digest([9; 32]);
    assert_eq!(refused(offer(&rig.plane, request).await).code, RefusalCode::Malformed);
}

#[tokio::test]
async fn a_proof_with_any_wrong_part_is_refused() {
    type Tamper = fn(&mut Device, &PairingApproved, &mut PairingProof);
    let cases: [(&str, Tamper); 11] = [
        ("credential", |_, _, proof| proof.secret = Blob::new(vec![0; 32]).unwrap()),
        ("device key", |device, offer, proof| {
            let public = pawl_evidence::lease::lease_key_public(&[1; 32], &[2; 32]);
            proof.device_key = device.certified(public.as_bytes().to_vec(), &offer.nonce.0);
        }),
        ("device key", |device, offer, proof| proof.device_key = device.loose_device_key(offer)),
        // The TPM certified another object than the one in the proof.
        ("device key", |_, _, proof| proof.device_key.attest = proof.vault_key.attest.clone()),
        ("link key", |device, _, proof| {
            proof.link_key = device.certified(proof.link_key.public.as_bytes().to_vec(), &[0; 32]);
        }),
        // The certified counter is one epoch ahead of the link key's.
        ("link key", |device, offer, proof| {
            device.tpm.epoch += 1;
            (proof.counter_attest, proof.counter_signature) = device.tpm.certify_counter(&offer.nonce.0);
            device.tpm.epoch -= 1;
        }),
        ("action key", |_, _, proof| proof.action_key = proof.device_key.clone()),
        ("epoch counter", |_, _, proof| proof.counter_attest = proof.report.attest.clone()),
        ("nonce", |device, _, proof| proof.report = device.report(Nonce([0; 32]), None)),
        ("PCR values", |device, offer, proof| {
            let mut evidence = device.evidence(offer.nonce, None);
            evidence.pcrs.insert(4, pawl_proto::PcrValue::Sha256([0xee; 32]));
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
    assert!(granted.is_ok(), "the refused proofs have left traces: {granted:?}");
}

#[tokio::test]
async fn an_offer_is_valid_for_ten_minutes_and_also_after_a_wrong_secret() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    let offered = offer(&rig.plane, device.request()).await.unwrap();
    let late = device.session_proof(&offered);
    rig.clock.advance(600);
    assert_eq!(refused(open(&rig.plane, offered.session, late.clone()).await).code, RefusalCode::Stale);

    let offered = offer(&rig.plane, device.request()).await.unwrap();
    let right = device.session_proof(&offered);
    let wrong = SessionProof { secret: late.secret, ..right.clone() };
    let before = records(&rig, device.id()).await;
    let refusal = refused(open(&rig.plane, offered.session, wrong).await);
    assert_eq!(refusal.code, RefusalCode::Proof);
    assert!(refusal.message.contains("credential"), "{refusal}");
    assert_eq!(records(&rig, device.id()).await, before, "a stranger has written a record");
    open(&rig.plane, offered.session, right).await.unwrap().approved();
}

async fn records(rig: &Rig, device: DeviceId) -> usize {
    rig.plane.store.transaction(move |tx| tx.records(device)).await.unwrap().len()
}

/// Opens a session from one network.
async fn open(
    plane: &Arc<ControlPlane>,
    id: SessionId,
    proof: SessionProof,
) -> Result<Progress, RequestError> {
    super::open(plane, id, proof, Network::of([192, 0, 2, 1].into())).await
}

#[tokio::test]
async fn a_session_proof_with_any_wrong_part_is_refused() {
    type Tamper = fn(&mut Device, &PairingOffer, &mut SessionProof);
    let cases: [(&str, Tamper); 5] = [
        ("credential", |_, _, proof| proof.secret = Blob::new(vec![0; 32]).unwrap()),
        ("epoch counter", |device, offer, proof| {
            device.tpm.epoch += 1;
            (proof.counter_attest, proof.counter_signature) = device.tpm.certify_counter(&offer.nonce.0);
            device.tpm.epoch -= 1;
        }),
        ("epoch counter", |device, _, proof| {
            (proof.counter_attest, proof.counter_signature) = device.tpm.certify_counter(&[0; 32]);
        }),
        ("nonce", |device, offer, proof| {
            device.pairing = Some(offer.session.into());
            proof.report = device.report(Nonce([0; 32]), None);
        }),
        ("PCR values", |device, offer, proof| {
            device.pairing = Some(offer.session.into());
            let mut evidence = device.evidence(offer.nonce, None);
            evidence.pcrs.insert(4, pawl_proto::PcrValue::Sha256([0xee; 32]));
            proof.report = device.quoted(&evidence);
        }),
    ];
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    for (part, tamper) in cases {
        let offered = offer(&rig.plane, device.request()).await.unwrap();
        let mut proof = device.session_proof(&offered);
        tamper(&mut device, &offered, &mut proof);
        let refusal = refused(open(&rig.plane, offered.session, proof).await);
        assert_eq!(refusal.code, RefusalCode::Proof, "{part}: {refusal}");
        assert!(refusal.message.contains(part), "{part}: {refusal}");
    }
}

#[tokio::test]
async fn offers_in_the_name_of_a_device_take_no_memory_and_do_not_evict_its_own() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    let first = offer(&rig.plane, device.request()).await.unwrap();
    for _ in 0..2000 {
        offer(&rig.plane, device.request()).await.unwrap();
    }
    let sessions = rig.plane.store.transaction(|tx| tx.sessions(None, 10)).await.unwrap();
    assert!(sessions.is_empty(), "{sessions:?}");
    let proof = device.session_proof(&first);
    open(&rig.plane, first.session, proof).await.unwrap().approved();
}

#[tokio::test]
async fn a_pairing_lives_in_an_epoch_of_its_own_and_ends_the_one_before() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    let first = device.pair(&rig.plane).await.unwrap();
    assert_eq!(first.epoch.0, 7, "the claimed epoch was free");
    let refusal = refused(
        device
            .pair_with(&rig.plane, |device, approved, proof| {
                assert_eq!(approved.above.0, 7);
                device.tpm.epoch = 7;
                (proof.counter_attest, proof.counter_signature) =
                    device.tpm.certify_counter(&approved.nonce.0);
                let policy = pawl_evidence::lease::link_policy(&device.tpm.counter.name(), 7);
                proof.link_key = device.link_for(&policy, approved);
                proof.action_key = device.action_for(7, approved);
                proof.report = device.report(approved.nonce, None);
            })
            .await,
    );
    assert_eq!(refusal.code, RefusalCode::EpochSpent);

    let second = device.pair(&rig.plane).await.unwrap();
    assert_eq!(second.epoch.0, 8);
    let ended = rig.plane.store.transaction(move |tx| tx.pairing(first.pairing)).await.unwrap().unwrap();
    assert_eq!(ended.state, PairingState::Ended);
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_answer() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    let offered = offer(&rig.plane, device.request()).await.unwrap();
    let proof = device.session_proof(&offered);
    let approved = open(&rig.plane, offered.session, proof.clone()).await.unwrap().approved();
    assert_eq!(open(&rig.plane, offered.session, proof).await.unwrap().approved(), approved);

    let proof = device.proof(offered.session, &approved);
    let granted = prove(&rig.plane, offered.session, proof.clone()).await.unwrap();
    assert_eq!(prove(&rig.plane, offered.session, proof).await.unwrap(), granted);
    let another = device.proof(offered.session, &approved);
    assert_eq!(refused(prove(&rig.plane, offered.session, another).await).code, RefusalCode::Stale);
}

#[tokio::test]
async fn an_approved_session_is_proven_within_ten_minutes_and_five_tries() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    let (asked, progress) = device.ask(&rig.plane, device.request()).await.unwrap();
    let approved = progress.approved();
    let good = device.proof(asked.id, &approved);
    let bad = PairingProof { vault_key: good.device_key.clone(), ..good.clone() };
    for _ in 0..5 {
        assert_eq!(refused(prove(&rig.plane, asked.id, bad.clone()).await).code, RefusalCode::Proof);
    }
    assert_eq!(refused(prove(&rig.plane, asked.id, good).await).code, RefusalCode::Declined);

    let (asked, progress) = device.ask(&rig.plane, device.request()).await.unwrap();
    let late = device.proof(asked.id, &progress.approved());
    rig.clock.advance(600);
    assert_eq!(refused(prove(&rig.plane, asked.id, late).await).code, RefusalCode::Stale);
}

#[tokio::test]
async fn a_tpm_that_went_back_in_time_is_refused() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    device.pair(&rig.plane).await.unwrap();
    let snapshot = device.tpm.clock;
    let receipt = device.wipe(None);
    orders::receive_receipt(&rig.plane, None, receipt).await.unwrap();

    // The check tolerates a report that overtakes a session's proof, but not an older clock than that.
    device.tpm.clock = snapshot - 1_000;
    assert_eq!(refused(device.pair(&rig.plane).await).code, RefusalCode::WentBackwards);
    device.tpm.clock = snapshot;
    device.tpm.reset_count -= 1;
    assert_eq!(refused(device.ask(&rig.plane, device.request()).await).code, RefusalCode::WentBackwards);
    device.tpm.reset_count += 1;
    device.tpm.epoch -= 1;
    assert_eq!(refused(device.ask(&rig.plane, device.request()).await).code, RefusalCode::WentBackwards);
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
    device.tpm.pcrs.insert(4, pawl_proto::PcrValue::Sha256([0xaa; 32]));
    let refusal = refused(device.pair(&rig.plane).await);
    assert_eq!(refusal.code, RefusalCode::Posture);
    assert!(refusal.message.contains("PCR 4"), "{refusal}");

    let state = rig.reported(device.id()).await;
    assert_eq!(orders::accept(&rig.plane, device.id(), state).await.unwrap(), (2, true));
    let grant = device.pair(&rig.plane).await.unwrap();
    let verdict = decode_verdict(&rig.plane, device.id(), grant.verdict.as_bytes());
    assert_eq!((verdict.entitlement.standing, verdict.lease.is_some()), (Standing::Active, true));
}
