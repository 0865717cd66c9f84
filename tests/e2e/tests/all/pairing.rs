//! Who may pair, and who may not.

use pawl_e2e::Rig;
use pawl_e2e::rig::{DeviceOptions, Interposer, Recording, Swtpm};
use pawl_evidence::assurance::action_policy;
use pawl_evidence::lease::key_policy;
use pawl_evidence::tpm::{Attest, Name, Public};
use pawl_proto::message::{PairingRefusal, RefusalCode, SessionProof, TpmStructure};
use pawl_proto::{Blob, Epoch, PairingId};

use crate::support::{Impostor, exportable_key};

#[test]
fn a_device_pairs_with_each_kind_of_certified_endorsement_key() {
    let rig = Rig::for_test().unwrap();
    for (kind, checked) in [("rsa-2048", "certificate"), ("ecc-p384", "certificate")] {
        let device =
            rig.paired_device(kind, DeviceOptions { endorsement: kind, ..DeviceOptions::default() }).unwrap();
        let status = device.status().unwrap();
        assert_eq!(status.ek_kind, kind);
        let endorsement = status.pairing.unwrap().endorsement;
        assert!(endorsement.starts_with(checked), "{kind}: {endorsement}");
        let shown = rig.control_plane.show(status.device.as_str()).unwrap();
        assert_eq!(shown["ek_kind"], kind);
        assert_eq!(shown["verdict"]["result"], "affirming", "{shown:#}");
    }
}

#[test]
fn an_unknown_device_is_refused_and_told_what_to_do() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.device("device", DeviceOptions::default()).unwrap();
    device.start().unwrap();
    device.pair().unwrap();
    let status = device
        .wait_until("pairing is refused", |status| status.problem.as_ref().is_some_and(is_refusal))
        .unwrap();
    let problem = status.problem.unwrap();
    let command = format!("pawl-control-plane enrol --ek-sha256 {}", status.ek_sha256);
    assert!(problem.reason.contains(&command), "{problem:?}");

    let pending = rig.control_plane.operator(&["pending"]).unwrap();
    let (id, asked) = (status.device.to_string(), &pending[0]);
    assert_eq!((pending.as_array().unwrap().len(), &asked["device"]), (1, &id.as_str().into()));
    assert_eq!((&asked["ek_sha256"], &asked["address"]), (&status.ek_sha256.into(), &"127.0.0.1".into()));
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(asked["host"]["hostname"], hostname.trim());
    assert_eq!(rig.control_plane.operator(&["devices"]).unwrap(), serde_json::json!([]));

    let prefix: String = id.chars().take(8).collect();
    let enrol = ["enrol", &prefix, "--label", "known now", "--scope", "telemetry", "--scope", "maintenance"];
    assert_eq!(rig.control_plane.operator(&enrol).unwrap()[0]["device"], id);
    assert_eq!(rig.control_plane.operator(&["pending"]).unwrap(), serde_json::json!([]));
    device.pair().unwrap();
    device.wait_until_entitled().unwrap();
}

/// The counts in its attestations are obfuscated: a lease over them survives more resets than it allows.
#[test]
fn an_attestation_key_in_the_owner_hierarchy_is_refused() {
    let rig = Rig::for_test().unwrap();
    let tpm = enrolled_tpm(&rig, "device");
    let bus = Recording::start(tpm.port()).unwrap();
    bus.interpose(Some(Interposer::OwnerAttestationKey));
    let device = Impostor::through(&rig, &tpm, &bus.tcti());
    let offer = device.ask(&device.request()).unwrap();
    // Its TPM opens the credential: the hierarchy is all that is wrong.
    let proof = device.session_proof(&offer);
    let quoted = Attest::unmarshal(proof.report.attest.as_bytes()).unwrap().clock;
    assert!(quoted.reset_count > 1000, "a true count after some boots: {quoted:?}");
    let refusal = device.open(offer.session, &proof).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::Proof, "{refusal:?}");
    assert!(refusal.message.as_str().contains("endorsement hierarchy"), "{refusal:?}");
}

#[test]
fn an_honest_proof_is_accepted() {
    // Without this, the refusals of the other tests would prove nothing.
    let rig = Rig::for_test().unwrap();
    let tpm = enrolled_tpm(&rig, "device");
    let device = Impostor::on(&rig, &tpm);
    let (session, _, progress) = device.session();
    let approved = progress.approved();
    let proof = device.proof(&approved);
    let grant = device.prove(&approved, &proof).unwrap();
    assert_eq!(grant.pairing, PairingId::from(session));
    // Its answer may be lost on the way: the very same proof is given the very same grant.
    assert_eq!(device.prove(&approved, &proof).unwrap(), grant);
}

#[test]
fn an_attestation_key_of_another_tpm_is_refused() {
    let rig = Rig::for_test().unwrap();
    let (genuine_tpm, other_tpm) = (enrolled_tpm(&rig, "genuine"), tpm(&rig, "other"));
    let (genuine, other) = (Impostor::on(&rig, &genuine_tpm), Impostor::on(&rig, &other_tpm));
    let mut request = genuine.request();
    request.attestation_key = other.request().attestation_key;

    let offer = genuine.ask(&request).unwrap();
    assert!(genuine.activate(&offer.credential).is_err(), "it is for another attestation key");
    assert!(other.activate(&offer.credential).is_err(), "it is for another endorsement key");
    let proof = SessionProof { request, ..other.session_proof_with(&offer, vec![0; 32]) };
    assert_refused(other.open(offer.session, &proof), "credential");
}

#[test]
fn a_session_of_a_proof_that_was_tampered_with_is_refused() {
    let rig = Rig::for_test().unwrap();
    let tpm = enrolled_tpm(&rig, "device");
    let device = Impostor::on(&rig, &tpm);
    let offer = || device.ask(&device.request()).unwrap();

    let (first, second) = (offer(), offer());
    let mut stale = device.session_proof(&first);
    stale.secret = device.session_proof(&second).secret;
    stale.expires = second.expires;
    assert_refused(device.open(second.session, &stale), "epoch counter");

    // Wrong guesses do not end the offer: a correct proof still opens the session.
    let (first, second) = (offer(), offer());
    let mut stale = device.session_proof(&second);
    stale.report = device.session_proof(&first).report;
    assert_refused(device.open(second.session, &stale), "stale");
    device.open(second.session, &device.session_proof(&second)).unwrap().approved();

    let offered = offer();
    let mut altered = device.session_proof(&offered);
    let evidence = altered.report.evidence.as_bytes();
    altered.report.evidence = Blob::new([evidence, &[0]].concat()).unwrap();
    assert_refused(device.open(offered.session, &altered), "");

    let mut ahead = device.request();
    ahead.epoch = Epoch(ahead.epoch.0 + 1);
    let offered = device.ask(&ahead).unwrap();
    let proof = SessionProof { request: ahead, ..device.session_proof(&offered) };
    assert_refused(device.open(offered.session, &proof), "counter is");
}

#[test]
fn a_grant_that_was_not_opened_is_refused() {
    let rig = Rig::for_test().unwrap();
    let tpm = enrolled_tpm(&rig, "device");
    let device = Impostor::on(&rig, &tpm);
    let (_, secret, progress) = device.session();
    let approved = progress.approved();
    // What opened the session does not open the grant.
    for guess in [secret.as_bytes().to_vec(), vec![0; 32], Vec::new()] {
        assert_refused(device.prove(&approved, &device.proof_with(&approved, guess)), "credential");
    }
    device.prove(&approved, &device.proof(&approved)).unwrap();
}

#[test]
fn the_certify_structure_of_another_key_is_refused() {
    let rig = Rig::for_test().unwrap();
    let tpm = enrolled_tpm(&rig, "device");
    let device = Impostor::on(&rig, &tpm);

    let approved = device.approved();
    let honest = device.proof(&approved);
    let mut proof = honest.clone();
    proof.device_key.attest = proof.link_key.attest.clone();
    proof.device_key.signature = proof.link_key.signature.clone();
    assert_refused(device.prove(&approved, &proof), "device key");

    // A key in the place of another one is under the wrong policy.
    let mut proof = honest;
    proof.action_key = proof.device_key.clone();
    assert_refused(device.prove(&approved, &proof), "action key");
}

#[test]
fn a_key_that_may_leave_its_tpm_is_refused() {
    let rig = Rig::for_test().unwrap();
    let tpm = enrolled_tpm(&rig, "device");
    let mut device = Impostor::on(&rig, &tpm);

    let approved = device.approved();
    let honest = device.proof(&approved);
    let key_name = |key: &TpmStructure| Public::unmarshal(key.as_bytes()).unwrap().name();
    let (lease_key, authorization_key) =
        (key_name(&approved.lease_key), key_name(&approved.authorization_key));
    let counter = Name::from_bytes(&device.counter().name).unwrap();
    let policy_ref = &approved.policy_ref.0;
    let lease_policy = key_policy(&lease_key, policy_ref);
    let action_policy = action_policy(&counter, device.counter().epoch, &authorization_key, policy_ref);

    // The key is in that TPM, certified by its attestation key, under the right policy; the control plane refuses it
    // all the same.
    let exportable = device.step_aside(&tpm, || exportable_key(&rig, &tpm, lease_policy));
    let mut proof = honest.clone();
    proof.device_key = device.certified(&exportable, &approved);
    assert_refused(device.prove(&approved, &proof), "attributes");

    let exportable = device.step_aside(&tpm, || exportable_key(&rig, &tpm, action_policy));
    let mut proof = honest;
    proof.action_key = device.certified(&exportable, &approved);
    assert_refused(device.prove(&approved, &proof), "attributes");
}

#[test]
fn a_stale_nonce_is_refused() {
    let rig = Rig::for_test().unwrap();
    let tpm = enrolled_tpm(&rig, "device");
    let device = Impostor::on(&rig, &tpm);

    let first = device.approved();
    let of_first = device.proof(&first);
    // A newer session takes the place of the first one.
    let second = device.approved();
    let of_second = device.proof(&second);
    let gone = device.prove(&first, &of_first).unwrap_err();
    assert_eq!(gone.code, RefusalCode::Stale, "{}", gone.message);
    let mut replayed = of_first;
    replayed.secret = of_second.secret.clone();
    assert_refused(device.prove(&second, &replayed), "");

    // No message is valid twice, except the proof whose answer may have been lost.
    device.prove(&second, &of_second).unwrap();
    let refusal = device.prove(&second, &device.proof(&second)).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::Stale, "{}", refusal.message);
}

#[test]
fn an_epoch_is_good_for_one_pairing() {
    let rig = Rig::for_test().unwrap();
    let tpm = enrolled_tpm(&rig, "device");
    let mut device = Impostor::on(&rig, &tpm);
    let first = device.approved();
    let epoch = device.prove(&first, &device.proof(&first)).unwrap().epoch;

    let again = device.approved();
    assert_eq!(again.above, epoch);
    let refusal = device.prove(&again, &device.proof(&again)).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::EpochSpent, "{}", refusal.message);

    device.move_on();
    assert!(device.prove(&again, &device.proof(&again)).unwrap().epoch > epoch);
}

fn tpm(rig: &Rig, name: &str) -> Swtpm {
    rig.device(name, DeviceOptions::default()).unwrap().tpm
}

fn enrolled_tpm(rig: &Rig, name: &str) -> Swtpm {
    let tpm = tpm(rig, name);
    rig.control_plane.enrol(&Impostor::on(rig, &tpm).ek_sha256(), name).unwrap();
    tpm
}

fn is_refusal(problem: &pawl_local_api::Problem) -> bool {
    problem.reason.contains("enrol")
}

fn assert_refused<T>(answer: Result<T, PairingRefusal>, because: &str) {
    let Err(refusal) = answer else { panic!("the proof was accepted") };
    assert_eq!(refusal.code, RefusalCode::Proof, "{}", refusal.message);
    assert!(refusal.message.as_str().contains(because), "{}", refusal.message);
}
