//! Approvals by OpenSSH's own tools, in both directions.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, DeviceOptions, Terms};
use pawl_local_api::ApprovalRequest;
use pawl_proto::Digest;
use serde_json::Value;

use crate::support::{approve_here, newly_paired};

#[test]
fn ssh_keygen_verifies_the_approvals_that_are_recorded() {
    let rig = Rig::for_test_with(&Terms::approved_by(2)).unwrap();
    let people = [("alice", "ed25519"), ("bob", "ecdsa")].map(|(name, key_type)| {
        let person = Approver::with_key(rig.directory(), name, key_type).unwrap();
        person.admit(&rig.control_plane).unwrap();
        person
    });
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    device.re_pair("another board").unwrap();
    for person in &people {
        device.approve(person).unwrap().success().unwrap();
    }
    newly_paired(&device);

    let id = device.status().unwrap().device.to_string();
    let records = rig.control_plane.records(&id).unwrap();
    let approved = records.iter().rfind(|record| record["kind"] == "approved").unwrap();
    let statement = hex::decode(approved["detail"]["statement"].as_str().unwrap()).unwrap();
    let message = Digest::of(&statement).to_string();
    let approvals = approved["detail"]["by"].as_array().unwrap();
    assert_eq!(approvals.len(), people.len());
    // Against the operator's list, and against the one that an auditor has from us.
    let checked = rig.control_plane.operator(&["records", &id, "--verify"]).unwrap();
    let auditors = rig.directory().path().join("auditors_signers");
    fs::write(&auditors, lines(&checked["approvers"])).unwrap();
    for list in [rig.control_plane.allowed_signers().to_owned(), auditors] {
        for approval in approvals {
            let verified = verify(&rig, &list, approval, &message);
            assert!(verified.status.success(), "{verified:?}");
            let other = verify(&rig, &list, approval, &message.replace(['0', '1'], "2"));
            assert!(!other.status.success(), "it holds for another statement");
        }
    }
}

#[test]
fn an_approval_that_was_signed_by_hand_counts() {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let alice = rig.approver("alice").unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    device.re_pair("another board").unwrap();
    // As the protocol's description says.
    let asked = device.wait_for_approver().and_then(|_| device.session()).unwrap().asked.unwrap();
    let recipe = format!(
        "printf %s {} | ssh-keygen -Y sign -n pawl-approval@v1 -f {} -",
        asked.digest,
        alice.key().display()
    );
    let output = Command::new("sh").args(["-c", &recipe]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let signature = String::from_utf8(output.stdout).unwrap();
    device.hand_in(&ApprovalRequest { statement: asked.statement, signature }).unwrap().success().unwrap();
    newly_paired(&device);
}

#[test]
fn a_key_is_allowed_as_openssh_writes_it() {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let alice = Approver::new(rig.directory(), "alice").unwrap();
    let options =
        r#"namespaces="file,pawl-approval@v1,git",valid-after="20200101Z",valid-before="20990101Z""#;
    fs::write(rig.control_plane.allowed_signers(), "# who may approve\n\n").unwrap();
    alice.admit_with(&rig.control_plane, options).unwrap();
    device.re_pair("another board").unwrap();
    approve_here(&device, &alice);
    assert_last_approver(&rig, &device, "alice");
}

fn assert_last_approver(rig: &Rig, device: &Device, name: &str) {
    let records = rig.control_plane.records(device.status().unwrap().device.as_str()).unwrap();
    let approved = records.iter().rfind(|record| record["kind"] == "approved").unwrap();
    assert_eq!(approved["detail"]["by"][0]["principal"], name);
}

fn lines(texts: &Value) -> String {
    texts.as_array().unwrap().iter().map(|text| format!("{}\n", text.as_str().unwrap())).collect()
}

/// `ssh-keygen -Y verify`, of one recorded approval.
fn verify(rig: &Rig, list: &Path, approval: &Value, message: &str) -> Output {
    let place = tempfile::tempdir_in(rig.directory().path()).unwrap();
    let (signature, stated) = (place.path().join("signature"), place.path().join("message"));
    fs::write(&signature, approval["signature"].as_str().unwrap()).unwrap();
    fs::write(&stated, message).unwrap();
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-Y", "verify", "-n", "pawl-approval@v1", "-I", approval["principal"].as_str().unwrap()]);
    keygen.arg("-f").arg(list).arg("-s").arg(signature);
    keygen.stdin(Stdio::from(fs::File::open(stated).unwrap())).output().unwrap()
}
