//! A board that U-Boot boots without UEFI: its command line is in PCR 1, and so is its lease.

use std::path::{Path, PathBuf};

use pawl_e2e::Rig;
use pawl_e2e::rig::DeviceOptions;
use pawl_proto::message::{DeviceState, TrustTier};

use crate::support::{judged, refusal};

#[test]
fn another_command_line_of_u_boot_ends_the_entitlement_in_the_tpm_and_under_a_learnt_policy() {
    let rig = Rig::for_test().unwrap();
    let options = DeviceOptions { boot_log: Some(log("uboot-bootm-real.bin")), ..DeviceOptions::default() };
    let mut device = rig.paired_device("device", options).unwrap();
    let id = device.status().unwrap().device.to_string();
    let records = rig.control_plane.records(&id).unwrap();
    let lease = records.iter().rev().find(|record| record["kind"] == "lease").unwrap();
    let leased = &lease["detail"]["signed"]["pcrs"];
    assert!(leased.as_array().unwrap().iter().any(|pcr| pcr == 1), "{lease}");

    let learnt = rig.control_plane.learn_policy(&id).unwrap();
    assert!(learnt.contains("console=ttyS0 root=/dev/mmcblk0p2 ro"), "{learnt}");
    rig.control_plane.set_policy(&id, &learnt).unwrap();
    judged(&rig, &device, TrustTier::Affirming);

    device.stop().unwrap();
    device.tpm.reset_into(&log("uboot-bootm-real-cmdline-changed.bin")).unwrap();
    device.start().unwrap();
    let status = device
        .wait_until("the device is refused", |status| {
            let result = status.verdict.as_ref().and_then(|verdict| verdict.result);
            (status.state, result) == (DeviceState::Lapsed, Some(TrustTier::Contraindicated))
        })
        .unwrap();
    let verdict = status.verdict.unwrap();
    let reasons = format!("{:?}", verdict.reasons);
    assert!(reasons.contains("boot.command-lines") && reasons.contains("init=/bin/sh"), "{reasons}");
    assert_eq!(refusal(&device), "drifted");
}

fn log(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}
