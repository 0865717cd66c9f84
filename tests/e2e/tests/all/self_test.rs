//! `pawlctl check` tests what revocation rests on.

use pawl_e2e::Rig;
use pawl_e2e::rig::DeviceOptions;
use serde_json::Value;

use crate::support::Tpm2Tools;

#[test]
fn check_tests_that_a_redefined_counter_starts_above() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let epoch = device.status().unwrap().counter.unwrap();
    let config = device.config().display().to_string();
    let finding = |device: &pawl_e2e::rig::Device| {
        let output = device.pawlctl(&["check", "--json", "--config", &config]).unwrap();
        let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = findings.as_array().unwrap();
        all.iter().find(|finding| finding["check"] == "tpm-counter").cloned().unwrap()
    };
    let first = finding(&device);
    assert_eq!(first["result"], "ok", "{first:#}");
    assert!(first["detail"].as_str().unwrap().contains("0x01805042, with 7 NV writes"), "{first:#}");
    // NV memory wears out: the daemon does not test again.
    assert_eq!(finding(&device), first);
    assert_eq!(device.status().unwrap().counter.unwrap(), epoch);
    device.wait_until_entitled().unwrap();

    device.stop().unwrap();
    let indices = Tpm2Tools::on(&device.tpm).run("tpm2_getcap", &["handles-nv-index"]);
    let indices = String::from_utf8(indices).unwrap().to_lowercase();
    assert!(!indices.contains("0x1805042") && indices.contains("0x1805041"), "{indices}");
}
