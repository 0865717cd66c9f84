//! The assurance records: what both sides keep, and what an auditor can check of it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, Terms, program};
use pawl_local_api::LocalRecord;
use serde_json::Value;

use crate::support::{approve_here, assured, judged_anew, update};

#[test]
fn each_side_keeps_what_happened_in_a_chain_that_a_re_pair_does_not_end() {
    let (rig, device) = eventful();
    let id = device.status().unwrap().device.to_string();
    let own = own_records(&device);
    let kinds: Vec<String> = own.iter().map(kind).collect();
    for expected in [
        "began",
        "opened",
        "approved",
        "paired",
        "verdict",
        "token",
        "assurance",
        "wiped",
        "opened",
        "paired",
    ] {
        assert!(kinds.iter().any(|kind| kind == expected), "no {expected} in {kinds:?}");
    }
    let pairings = kinds.iter().filter(|kind| *kind == "paired").count();
    assert_eq!((pairings, kinds.iter().filter(|kind| *kind == "began").count()), (2, 1), "{kinds:?}");

    // The control plane has the same, as far as they came.
    judged_anew(&rig, &device);
    let there: Vec<Value> =
        serde_json::from_value(rig.control_plane.operator(&["records", &id, "--device"]).unwrap()).unwrap();
    assert!(there.len() >= own.len());
    for (here, there) in own.iter().zip(&there) {
        assert_eq!(here.digest, there["digest"], "{here:?} and {there}");
        assert_eq!(there["chain"], 1);
    }

    let checked = rig.control_plane.operator(&["records", &id, "--verify"]).unwrap();
    assert_eq!(checked["failures"], Value::Array(Vec::new()));
    assert_eq!((&checked["pairings"], &checked["approvals"]), (&Value::from(2), &Value::from(1)));
    assert_eq!((&checked["assurances"], &checked["receipts"]), (&Value::from(1), &Value::from(1)));
    for some in ["quotes", "leases", "device_records"] {
        assert!(checked[some].as_u64().unwrap() > 0, "{some}: {checked}");
    }
}

#[test]
fn records_are_exported_as_lines() {
    let (rig, device) = eventful();
    let id = device.status().unwrap().device.to_string();
    let file = rig.directory().path().join("records.jsonl");
    operator(&rig, &["records", &id, "--export", &file.display().to_string()]);
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, rig.control_plane.records(&id).unwrap());
}

#[test]
fn an_auditor_needs_the_bundle_and_the_authoritys_certificate() {
    let (mut rig, device) = eventful();
    let id = device.status().unwrap().device.to_string();
    let auditor = Auditor::with_bundle(&rig, &id);
    rig.control_plane.stop().unwrap();

    let output = auditor.verify(&[]);
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(checked["device"], id.as_str());
    assert_eq!(checked["failures"], Value::Array(Vec::new()));
    assert!(checked["approvers"][0].as_str().unwrap().starts_with("alice "), "{checked}");

    assert!(auditor.verify(&["--device", &id]).status.success());
    let other = auditor.verify(&["--device", "abcdefghijklmnopqrstuvwxyz234567"]);
    assert!(!other.status.success(), "it is about another device");
}

#[test]
fn a_bundle_in_which_a_byte_was_changed_is_refused() {
    let (rig, device) = eventful();
    let auditor = Auditor::with_bundle(&rig, &device.status().unwrap().device.to_string());
    let honest = fs::read(auditor.bundle()).unwrap();
    // The control plane's own tests change every byte; here the program is asked about some.
    for place in (0..honest.len()).step_by(honest.len() / 40) {
        let mut forged = honest.clone();
        forged[place] ^= 1;
        fs::write(auditor.bundle(), &forged).unwrap();
        let output = auditor.verify(&[]);
        assert_eq!(output.status.code(), Some(1), "byte {place} was changed: {output:?}");
    }
    fs::write(auditor.bundle(), &honest).unwrap();
    assert!(auditor.verify(&[]).status.success());

    let stranger = Rig::for_test().unwrap();
    fs::copy(stranger.control_plane.ca(), auditor.place.join("ca.pem")).unwrap();
    assert_eq!(auditor.verify(&[]).status.code(), Some(1), "another authority is believed");
}

/// A device that was paired, did an action, and was paired again by a person's approval.
fn eventful() -> (Rig, Device) {
    let terms = Terms { actions: vec![("firmware-update", 0)], ..Terms::approved_by(1) };
    let rig = Rig::for_test_with(&terms).unwrap();
    let alice = rig.approver("alice").unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    assured(device.ask_for_action(&update("9.1")).unwrap().success().unwrap().json().unwrap());
    device.re_pair("another board").unwrap();
    approve_here(&device, &alice);
    crate::revocation::verified_receipt(&rig, &device.status().unwrap().device.to_string(), 1);
    (rig, device)
}

/// What `pawlctl records` shows; it checks the chain and says so.
fn own_records(device: &Device) -> Vec<LocalRecord> {
    let output = device.pawlctl(&["records", "--json"]).unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let last: Value = serde_json::from_str(lines.pop().unwrap()).unwrap();
    assert_eq!((&last["chain"], &last["first"]), (&Value::from("holds"), &Value::from(1)));
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn kind(record: &LocalRecord) -> String {
    serde_json::to_value(&record.record.fact).unwrap()["kind"].as_str().unwrap().to_owned()
}

/// Somebody with a bundle and a certificate in an empty directory, and nothing else of ours.
struct Auditor {
    place: PathBuf,
}

impl Auditor {
    fn with_bundle(rig: &Rig, device: &str) -> Self {
        let auditor = Self { place: rig.directory().create("auditor").unwrap() };
        let bundle = auditor.bundle().display().to_string();
        operator(rig, &["records", device, "--export", &bundle, "--bundle"]);
        fs::copy(rig.control_plane.ca(), auditor.place.join("ca.pem")).unwrap();
        auditor
    }

    fn bundle(&self) -> PathBuf {
        self.place.join("bundle.json")
    }

    fn verify(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("pawl-control-plane").unwrap());
        command.env_clear().current_dir(&self.place);
        command.args(["verify-bundle", "bundle.json", "--ca", "ca.pem", "--json"]).args(arguments);
        command.output().unwrap()
    }
}

fn operator(rig: &Rig, arguments: &[&str]) {
    let output = rig.control_plane.command(arguments).unwrap().output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
