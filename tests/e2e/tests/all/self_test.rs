//! What `pawlctl check` finds in a TPM.

use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, Interposer};
use serde_json::Value;

use crate::support::Tpm2Tools;

#[test]
fn check_tests_that_a_redefined_counter_starts_above() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let epoch = device.status().unwrap().counter.unwrap();
    let first = finding(&device, "tpm-counter");
    assert_eq!(first["result"], "ok", "{first:#}");
    assert!(first["detail"].as_str().unwrap().contains("0x01805042, with 7 NV writes"), "{first:#}");
    // NV memory wears out: the daemon does not test again.
    assert_eq!(finding(&device, "tpm-counter"), first);
    assert_eq!(device.status().unwrap().counter.unwrap(), epoch);
    device.wait_until_entitled().unwrap();

    device.stop().unwrap();
    let indices = Tpm2Tools::on(&device.tpm).run("tpm2_getcap", &["handles-nv-index"]);
    let indices = String::from_utf8(indices).unwrap().to_lowercase();
    assert!(!indices.contains("0x1805042") && indices.contains("0x1805041"), "{indices}");
}

#[test]
fn a_report_on_a_tpm_says_that_it_does_what_pawl_needs_and_leaves_a_pairing_alone() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let epoch = device.status().unwrap().counter.unwrap();
    let config = device.config().display().to_string();
    let output = device.pawlctl(&["check", "--tpm", "--json", "--config", &config]).unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && report["supported"] == true, "{report:#}");
    let checks = report["checks"].as_array().unwrap();
    let names: Vec<&str> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "counter",
            "keys",
            "lease",
            "lease-signature",
            "lease-pcrs",
            "lease-epoch",
            "lease-resets",
            "lease-clock",
            "vault",
            "quote",
            "key-certificate",
            "receipt",
            "revocation",
            "counter-above",
            "clock"
        ]
    );
    let is_made = |check: &Value| check["result"] == "ok" || check["check"] == "lease-resets";
    assert!(checks.iter().all(is_made), "{report:#}");
    assert_eq!(device.status().unwrap().counter.unwrap(), epoch);
    device.wait_until_entitled().unwrap();

    device.stop().unwrap();
    let indices = Tpm2Tools::on(&device.tpm).run("tpm2_getcap", &["handles-nv-index"]);
    let indices = String::from_utf8(indices).unwrap().to_lowercase();
    assert!(!indices.contains("0x1805042") && indices.contains("0x1805041"), "{indices}");
}

#[test]
fn a_tpm_whose_counters_stand_still_is_reported_as_unsupported() {
    let rig = Rig::for_test().unwrap();
    let options = DeviceOptions { record: true, ..DeviceOptions::default() };
    let device = rig.paired_device("device", options).unwrap();
    device.recording().unwrap().interpose(Some(Interposer::FrozenCounters));
    let config = device.config().display().to_string();
    let output = device.pawlctl(&["check", "--tpm", "--config", &config]).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("This TPM does not do what Pawl needs"), "{text}");
    assert!(text.contains("failed   counter           an increment took it from 1 to 1"), "{text}");
    assert!(text.contains("needed: an epoch is the value of a counter in NV memory"), "{text}");
}

#[test]
fn check_tells_that_the_owner_alone_may_read_the_endorsement_certificate() {
    const INDEX: &str = "0x01c00016";

    let rig = Rig::for_test().unwrap();
    let mut device = rig.device("device", DeviceOptions::default()).unwrap();
    let tools = Tpm2Tools::on(&device.tpm);
    let certificate = rig.directory().path().join("certificate");
    let certificate = certificate.to_str().unwrap();
    tools.run("tpm2_nvread", &["-C", "o", INDEX, "-o", certificate]);
    let size = std::fs::metadata(certificate).unwrap().len().to_string();
    device.start().unwrap();
    assert_eq!(finding(&device, "ek-certificate")["result"], "ok");
    device.stop().unwrap();

    tools.run("tpm2_nvundefine", &["-C", "p", INDEX]);
    let attributes = "ppwrite|ownerread|no_da|platformcreate";
    tools.run("tpm2_nvdefine", &["-C", "p", INDEX, "-s", &size, "-a", attributes]);
    tools.run("tpm2_nvwrite", &["-C", "p", INDEX, "-i", certificate]);
    device.start().unwrap();
    let found = finding(&device, "ek-certificate");
    assert_eq!(found["result"], "warning", "{found:#}");
    assert!(found["detail"].as_str().unwrap().contains("OWNERREAD without AUTHREAD"), "{found:#}");
    assert!(found["remedy"].as_str().unwrap().contains("compare this hash"), "{found:#}");
}

fn finding(device: &Device, check: &str) -> Value {
    let config = device.config().display().to_string();
    let output = device.pawlctl(&["check", "--json", "--config", &config]).unwrap();
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = findings.as_array().unwrap();
    all.iter().find(|finding| finding["check"] == check).cloned().unwrap()
}
