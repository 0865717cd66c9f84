//! `pawlctl` against a running daemon, and what others make of what it exports.

use std::process::Command;

use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, TokenAnswer};
use serde_json::Value;

use crate::support::Tpm2Tools;

#[test]
fn a_technician_sees_the_device_through_pawlctl() {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();

    let status = json(&device, &["status"]);
    assert_eq!(status["state"], "entitled");
    let TokenAnswer::Granted(token) = device.token().unwrap() else { panic!("no token") };
    assert_eq!(json(&device, &["token", "telemetry"])["access_token"], token.access_token.as_str());

    let config = device.config().display().to_string();
    let checks = json(&device, &["check", "--config", &config]);
    for check in checks.as_array().unwrap() {
        assert_ne!(check["result"], "failed", "{check}");
    }
}

#[test]
fn exported_evidence_satisfies_tpm2_tools() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let to = rig.directory().path().join("evidence");
    run(&device, &["evidence", "--export", &to.display().to_string()]);

    let nonce = std::fs::read_to_string(to.join("nonce.hex")).unwrap();
    let checked = Command::new("tpm2_checkquote")
        .current_dir(&to)
        .args(["-u", "ak.pem", "-m", "attest.bin", "-s", "signature.bin", "-g", "sha256", "-q", nonce.trim()])
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    let replayed = json(&device, &["replay", &to.join("bootlog.bin").display().to_string()]);
    device.stop().unwrap();
    let read = String::from_utf8(Tpm2Tools::on(&device.tpm).run("tpm2_pcrread", &["sha256:4"])).unwrap();
    let in_tpm = read.rsplit("0x").next().unwrap().trim().to_lowercase();
    assert_eq!(replayed["sha256"]["4"], in_tpm.as_str());
}

fn json(device: &Device, arguments: &[&str]) -> Value {
    let mut all = arguments.to_vec();
    all.push("--json");
    serde_json::from_slice(&run(device, &all)).unwrap()
}

fn run(device: &Device, arguments: &[&str]) -> Vec<u8> {
    let output = device.pawlctl(arguments).unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "pawlctl {arguments:?}: {}\n{out}{err}", output.status);
    output.stdout
}
