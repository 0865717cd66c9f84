//! Two devices wait at the same time, and one person approves both: nothing that was made for one
//! counts for the other.

use std::collections::BTreeSet;

use pawl_e2e::Rig;
use pawl_e2e::rig::{ApprovalTerms, Approver, Device, DeviceOptions, Terms, TokenAnswer};
use pawl_local_api::ApprovalRequest;
use pawl_proto::message::{DeviceState, RefusalCode};
use serde_json::Value;

use super::TOLD;
use crate::support::{
    Impostor, approval_of, failed_bindings, newly_paired, seen_by_operator, session_id, turned_away,
};

#[test]
fn what_was_signed_for_one_device_counts_for_no_other() {
    let (rig, [a, b], alice) = two_devices();
    let [for_a, for_b] = [&a, &b].map(|device| device.approval_of(&alice).unwrap());
    let mixed = |statement: &ApprovalRequest, signature: &ApprovalRequest| ApprovalRequest {
        statement: statement.statement.clone(),
        signature: signature.signature.clone(),
    };
    let mut told = BTreeSet::new();
    for (device, own, other) in [(&a, &for_a, &for_b), (&b, &for_b, &for_a)] {
        for (wrong, failed) in
            [(other.clone(), "session"), (mixed(own, other), "signature"), (mixed(other, own), "signature")]
        {
            told.insert(turned_away(device.hand_in(&wrong).unwrap()));
            let failed_now = failed_bindings(&rig, &session_id(device));
            assert_eq!(failed_now.last().map(String::as_str), Some(failed), "{failed_now:?}");
        }
    }
    // Whatever failed, a stranger gets the same message.
    assert_eq!(told, BTreeSet::from([TOLD.to_owned()]));
    assert_both_work(&rig, [&a, &b]);

    for (device, approval) in [(&a, &for_a), (&b, &for_b)] {
        device.hand_in(approval).unwrap().success().unwrap();
        newly_paired(device);
    }
}

#[test]
fn a_code_and_a_confirmation_belong_to_one_device() {
    let (rig, [a, b], alice) = two_devices();
    let [code_a, code_b] = [&a, &b].map(|device| device.wait_for_approver().unwrap().user_code);
    let [confirmation_a, confirmation_b] = [(&a, &code_a), (&b, &code_b)].map(|(device, code)| {
        // A code names its own session, whichever device somebody has in mind, and what is signed
        // for is shown.
        let key = alice.key().display().to_string();
        let command = ["approve", "--code", code.as_str(), "--sign-with", &key, "--yes", "--json"];
        let output = rig.control_plane.command(&command).unwrap().output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr);
        let status = device.status().unwrap();
        for told in [status.device.as_str(), &session_id(device), "board repaired", "re-pair"] {
            assert!(shown.contains(told), "no {told} in {shown}");
        }
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        answer["confirmation"].as_str().unwrap().to_owned()
    });

    for (device, other) in [(&a, &confirmation_b), (&b, &confirmation_a)] {
        assert_eq!(turned_away(device.confirm(other).unwrap()), TOLD);
        assert_eq!(failed_bindings(&rig, &session_id(device)), ["confirmation"]);
    }
    // The first group finds the session, the others are its secret: those of another one are not.
    let ((group_of_a, _), (_, secret_of_b)) =
        (code_a.split_once('-').unwrap(), code_b.split_once('-').unwrap());
    let crossed = format!("{group_of_a}-{secret_of_b}");
    let refused = rig.control_plane.approve(&crossed, &alice).unwrap_err().to_string();
    assert!(refused.contains("the code is wrong"), "{refused}");
    assert_eq!(failed_bindings(&rig, &session_id(&a)).last().unwrap(), "code");
    assert_eq!(failed_bindings(&rig, &session_id(&b)), ["confirmation"]);
    assert_both_work(&rig, [&a, &b]);

    for (device, own) in [(&a, &confirmation_a), (&b, &confirmation_b)] {
        device.confirm(own).unwrap().success().unwrap();
        newly_paired(device);
    }
}

#[test]
fn what_one_tpm_was_given_opens_nothing_for_another() {
    let approvals = ApprovalTerms { pair: 1, ..ApprovalTerms::persons(1) };
    let rig = Rig::for_test_with(&Terms { approvals, ..Terms::default() }).unwrap();
    let alice = rig.approver("alice").unwrap();
    let tpms = ["a", "b"].map(|name| rig.device(name, DeviceOptions::default()).unwrap().tpm);
    let [a, b] = [&tpms[0], &tpms[1]].map(|tpm| Impostor::on(&rig, tpm));
    for device in [&a, &b] {
        rig.control_plane.enrol(&device.ek_sha256(), "impostor").unwrap();
    }

    // The credential of an offer, and the proof of one.
    let [offer_a, offer_b] = [&a, &b].map(|device| device.ask(&device.request()).unwrap());
    assert!(b.activate(&offer_a.credential).is_err());
    assert!(a.activate(&offer_b.credential).is_err());
    let [proof_a, proof_b] =
        [(&a, &offer_a), (&b, &offer_b)].map(|(device, offer)| device.session_proof(offer));
    for (session, proof) in [(offer_a.session, &proof_b), (offer_b.session, &proof_a)] {
        let refusal = a.open(session, proof).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::Proof, "{}", refusal.message);
    }

    // The secret of a session, and its approval.
    let (session_a, secret_a, progress_a) = a.session();
    let (session_b, secret_b, progress_b) = b.session();
    let [asked_a, asked_b] = [progress_a, progress_b].map(|progress| progress.waiting().statement);
    let [given_a, given_b] = [asked_a, asked_b].map(|asked| approval_of(&alice, asked));
    for (session, secret, given) in [(session_a, &secret_b, &given_a), (session_b, &secret_a, &given_b)] {
        let refusal = a.step(session, secret, Some(given.clone()), None).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::Stale, "{}", refusal.message);
    }
    let approved_a = a.step(session_a, &secret_a, Some(given_a), None).unwrap().approved();
    let approved_b = b.step(session_b, &secret_b, Some(given_b), None).unwrap().approved();

    // The grant, and its proof.
    assert!(b.activate(&approved_a.credential).is_err());
    assert!(a.activate(&approved_b.credential).is_err());
    let (proof_a, proof_b) = (a.proof(&approved_a), b.proof(&approved_b));
    for (approved, proof) in [(&approved_a, &proof_b), (&approved_b, &proof_a)] {
        let refusal = a.prove(approved, proof).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::Proof, "{}", refusal.message);
    }
    // With the right secret it is still another TPM.
    let mut stolen = proof_b.clone();
    stolen.secret = proof_a.secret.clone();
    let refusal = b.prove(&approved_a, &stolen).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::Proof, "{}", refusal.message);

    assert_eq!(a.prove(&approved_a, &proof_a).unwrap().device, a.device());
    assert_eq!(b.prove(&approved_b, &proof_b).unwrap().device, b.device());
}

/// Two paired devices that wait for an approval, and a person with one key for both.
fn two_devices() -> (Rig, [Device; 2], Approver) {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let devices = ["pump-7", "pump-8"].map(|name| rig.paired_device(name, DeviceOptions::default()).unwrap());
    let alice = rig.approver("alice").unwrap();
    for device in &devices {
        device.re_pair("board repaired").unwrap();
        device.wait_for_approver().unwrap();
    }
    (rig, devices, alice)
}

fn assert_both_work(rig: &Rig, devices: [&Device; 2]) {
    for device in devices {
        let status = device.status().unwrap();
        assert_eq!(status.state, DeviceState::Entitled);
        assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
        assert_eq!(rig.control_plane.show(status.device.as_str()).unwrap()["pairing"]["state"], "live");
        assert_eq!(seen_by_operator(rig, &session_id(device))["state"], "waiting");
    }
}
