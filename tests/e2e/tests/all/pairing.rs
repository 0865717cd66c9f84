//! Who may pair, and who may not.

use pawl_e2e::Rig;
use pawl_e2e::rig::{DeviceOptions, Swtpm};
use pawl_evidence::lease::key_policy;
use pawl_evidence::tpm::Public;
use pawl_proto::message::{PairingOffer, PairingRefusal, RefusalCode};
use pawl_tpm::KeyBlob;

use crate::support::{Impostor, Tpm2Tools};

#[test]
fn a_device_pairs_with_each_kind_of_endorsement_key() {
    let rig = Rig::for_test().unwrap();
    for (kind, checked) in
        [("rsa-2048", "certificate"), ("ecc-p384", "certificate"), ("ecc-p256", "enrolled by hash")]
    {
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

    rig.control_plane.enrol(&status.ek_sha256, "known now").unwrap();
    device.pair().unwrap();
    device.wait_until_entitled().unwrap();
}

#[test]
fn an_honest_proof_is_accepted() {
    // Without this, the refusals of the other tests would prove nothing.
    let rig = Rig::for_test().unwrap();
    let tpm = enrolled_tpm(&rig, "device");
    let device = Impostor::on(&rig, &tpm);
    let offer = device.ask(&device.request()).unwrap();
    let grant = device.prove(&offer, &device.proof(&offer)).unwrap();
    assert_eq!(grant.pairing, offer.pairing);
}

#[test]
fn an_attestation_key_of_another_tpm_is_refused() {
    let rig = Rig::for_test().unwrap();
    let (genuine_tpm, other_tpm) = (enrolled_tpm(&rig, "genuine"), tpm(&rig, "other"));
    let (genuine, other) = (Impostor::on(&rig, &genuine_tpm), Impostor::on(&rig, &other_tpm));
    let mut request = genuine.request();
    request.attestation_key = other.request().attestation_key;

    let offer = genuine.ask(&request).unwrap();
    assert!(genuine.activate(&offer).is_err(), "the credential is for another attestation key");
    assert!(other.activate(&offer).is_err(), "the credential is for another endorsement key");
    assert_proof_refused(other.prove(&offer, &other.proof_with(&offer, vec![0; 32])), "credential");
}

#[test]
fn the_certify_structure_of_another_key_is_refused() {
    let rig = Rig::for_test().unwrap();
    let tpm = enrolled_tpm(&rig, "device");
    let device = Impostor::on(&rig, &tpm);

    let offer = device.ask(&device.request()).unwrap();
    let mut proof = device.proof(&offer);
    proof.device_key.attest = proof.link_key.attest.clone();
    proof.device_key.signature = proof.link_key.signature.clone();
    assert_proof_refused(device.prove(&offer, &proof), "device key");
}

#[test]
fn a_key_that_may_leave_its_tpm_is_refused() {
    let rig = Rig::for_test().unwrap();
    let tpm = enrolled_tpm(&rig, "device");
    let mut device = Impostor::on(&rig, &tpm);

    let offer = device.ask(&device.request()).unwrap();
    let mut proof = device.proof(&offer);
    // In that TPM, certified by its attestation key, under the right policy: and yet no.
    let exportable = device.step_aside(&tpm, || exportable_key(&rig, &tpm, &offer));
    proof.device_key = device.certified(&exportable, &offer);
    assert_proof_refused(device.prove(&offer, &proof), "attributes");
}

#[test]
fn a_stale_nonce_is_refused() {
    let rig = Rig::for_test().unwrap();
    let tpm = enrolled_tpm(&rig, "device");
    let device = Impostor::on(&rig, &tpm);

    let first = device.ask(&device.request()).unwrap();
    let proof = device.proof(&first);
    let second = device.ask(&device.request()).unwrap();
    let mut replayed = proof.clone();
    replayed.secret = device.proof(&second).secret;
    assert_proof_refused(device.prove(&second, &replayed), "");

    // What was good once is good no more.
    device.prove(&first, &proof).unwrap();
    let refusal = device.prove(&first, &proof).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::Stale, "{}", refusal.message);
}

#[test]
fn an_epoch_is_good_for_one_pairing() {
    let rig = Rig::for_test().unwrap();
    let tpm = enrolled_tpm(&rig, "device");
    let device = Impostor::on(&rig, &tpm);
    let offer = device.ask(&device.request()).unwrap();
    device.prove(&offer, &device.proof(&offer)).unwrap();
    let refusal = device.ask(&device.request()).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::EpochSpent, "{}", refusal.message);
}

fn tpm(rig: &Rig, name: &str) -> Swtpm {
    rig.device(name, DeviceOptions::default()).unwrap().tpm
}

fn enrolled_tpm(rig: &Rig, name: &str) -> Swtpm {
    let tpm = tpm(rig, name);
    rig.control_plane.enrol(&Impostor::on(rig, &tpm).ek_sha256(), name).unwrap();
    tpm
}

fn is_refusal(problem: &pawl_proto::local::Problem) -> bool {
    problem.reason.contains("enrol")
}

fn assert_proof_refused<T>(answer: Result<T, PairingRefusal>, because: &str) {
    let Err(refusal) = answer else { panic!("the proof was accepted") };
    assert_eq!(refusal.code, RefusalCode::Proof, "{}", refusal.message);
    assert!(refusal.message.as_str().contains(because), "{}", refusal.message);
}

/// A signing key that differs from a device key in fixedTPM and fixedParent alone, made by
/// tpm2-tools under the same parent.
fn exportable_key(rig: &Rig, swtpm: &Swtpm, offer: &PairingOffer) -> KeyBlob {
    let place = rig.directory().create("exportable").unwrap();
    let file = |name: &str| place.join(name).display().to_string();
    let lease_key = Public::unmarshal(offer.lease_key.as_bytes()).unwrap();
    std::fs::write(file("policy"), key_policy(&lease_key.name(), &offer.policy_ref.0)).unwrap();
    // A TPMS_ECC_POINT of two 32 zero bytes as it lies in the memory of tpm2-tools.
    let coordinate = [&[32, 0][..], &[0; 128]].concat();
    std::fs::write(file("unique"), coordinate.repeat(2)).unwrap();

    let tools = Tpm2Tools::on(swtpm);
    tools.run(
        "tpm2_createprimary",
        &[
            "-C",
            "o",
            "-g",
            "sha256",
            "-G",
            "ecc256:aes128cfb",
            "-u",
            &file("unique"),
            "-c",
            &file("parent"),
            "-a",
            "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt",
        ],
    );
    tools.run(
        "tpm2_create",
        &[
            "-C",
            &file("parent"),
            "-G",
            "ecc256:ecdsa-sha256:null",
            "-a",
            "sensitivedataorigin|noda|sign",
            "-L",
            &file("policy"),
            "-u",
            &file("public"),
            "-r",
            &file("private"),
        ],
    );
    tools.flush();
    // Each file has the size of what follows in its first two bytes.
    let contents = |name: &str| std::fs::read(file(name)).unwrap().split_off(2);
    KeyBlob { public: contents("public"), private: contents("private") }
}
