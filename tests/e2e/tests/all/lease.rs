//! What takes a lease away, and what gives it back: nothing here destroys anything.

use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, Terms, TokenAnswer, boot_log};
use pawl_local_api::LocalStatus;
use pawl_proto::message::{DeviceState, TrustTier};

use crate::support::refusal;

#[test]
fn a_suspended_device_lapses_and_comes_back() {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();

    rig.control_plane.suspend(&id, "seen outside its site").unwrap();
    let status = device.wait_for(DeviceState::Lapsed).unwrap();
    assert!(status.problem.unwrap().reason.contains("seen outside its site"));
    assert_eq!(refusal(&device), "suspended");

    rig.control_plane.resume(&id).unwrap();
    device.wait_until_entitled().unwrap();
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
}

#[test]
fn a_device_that_boots_something_else_lapses_until_it_is_accepted() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();

    device.stop().unwrap();
    device.tpm.reset_into(&boot_log("x86-cmdline-changed")).unwrap();
    device.start().unwrap();
    // The daemon starts and reports its boot state.
    let status = wait_until_contraindicated(&device);
    assert!(!status.lease.unwrap().accepted, "the TPM accepts a lease for other PCRs");
    assert_eq!(refusal(&device), "drifted");

    rig.control_plane.accept(&id).unwrap();
    rig.control_plane.refresh(&id).unwrap();
    device.wait_until_entitled().unwrap();
}

#[test]
fn a_boot_that_its_log_does_not_explain_lapses() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    device.stop().unwrap();
    device.tpm.extend(12, &[1; 32]).unwrap();
    device.start().unwrap();
    let status = wait_until_contraindicated(&device);
    let reasons = format!("{:?}", status.verdict.unwrap().reasons);
    assert!(reasons.contains("PCR 12"), "{reasons}");
    assert_eq!(refusal(&device), "drifted");
}

#[test]
fn a_lease_ends_after_so_many_resets() {
    let rig = &mut Rig::for_test_with(&Terms { lease_resets: 1, ..Terms::default() }).unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    // The lease is not renewed.
    rig.broker.stop().unwrap();
    rig.control_plane.stop().unwrap();
    device.stop().unwrap();
    device.tpm.reset().unwrap();
    device.start().unwrap();
    let lease = device.status().unwrap().lease.unwrap();
    assert!(lease.accepted, "{lease:?}");
    assert_eq!(lease.resets_left, 0);

    device.stop().unwrap();
    device.tpm.reset().unwrap();
    device.start().unwrap();
    let status = device.wait_for(DeviceState::Lapsed).unwrap();
    let lease = status.lease.unwrap();
    assert!(!lease.accepted && lease.tpm_error.is_some(), "{lease:?}");
    assert!(!matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
}

#[test]
fn silence_ends_a_lease() {
    let rig = &mut Rig::for_test_with(&Terms { lease_seconds: 4, ..Terms::default() }).unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    rig.broker.stop().unwrap();
    let status = device.wait_for(DeviceState::Lapsed).unwrap();
    assert!(!status.lease.unwrap().accepted);
    assert_eq!(refusal(&device), "lease-expired");
    rig.broker.resume().unwrap();
    device.wait_until_entitled().unwrap();
}

/// Waits until the device has lapsed for what it runs.
pub(crate) fn wait_until_contraindicated(device: &Device) -> LocalStatus {
    device
        .wait_until("it is judged anew", |status| {
            let result = status.verdict.as_ref().and_then(|verdict| verdict.result);
            status.state == DeviceState::Lapsed && result == Some(TrustTier::Contraindicated)
        })
        .unwrap()
}
