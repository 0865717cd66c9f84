//! Updates that were approved ahead: keys that work before the network does, in the approved state and in
//! no other.

use std::fs;

use anyhow::ensure;
use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, TokenAnswer, boot_log, wait};
use pawl_evidence::eventlog::EventLog;
use pawl_evidence::tpm::HashAlgorithm;
use pawl_proto::message::{DeviceState, TrustTier};

use crate::support::{judged, judged_anew, refusal};

#[test]
fn keys_work_before_the_network_does_in_the_approved_state_alone() {
    let mut rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    pre_approve(&rig, &device, "x86-cmdline-changed");
    device.stop().unwrap();
    rig.broker.stop().unwrap();
    rig.control_plane.stop().unwrap();

    device.tpm.reset_into(&boot_log("x86-cmdline-changed")).unwrap();
    device.start().unwrap();
    let status = device.wait_until_entitled().unwrap();
    assert!(!status.broker.connected);
    let lease = status.lease.unwrap();
    assert_eq!((lease.accepted, lease.ahead), (true, 0), "{lease:?}");
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));

    device.stop().unwrap();
    device.tpm.reset_into(&boot_log("x86-initrd-changed")).unwrap();
    device.start().unwrap();
    let status = device.wait_for(DeviceState::Lapsed).unwrap();
    assert!(!status.lease.unwrap().accepted);
    assert_eq!(refusal(&device), "lease-refused");

    // What was judged before still works, too.
    device.stop().unwrap();
    device.tpm.reset_into(&boot_log("x86-good")).unwrap();
    device.start().unwrap();
    device.wait_until_entitled().unwrap();
}

#[test]
fn the_first_report_after_the_update_brings_the_usual_lease() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    pre_approve(&rig, &device, "x86-cmdline-changed");
    device.stop().unwrap();
    device.tpm.reset_into(&boot_log("x86-cmdline-changed")).unwrap();
    device.start().unwrap();
    device.wait_until_entitled().unwrap();
    judged_anew(&rig, &device);
    let shown = rig.control_plane.show(&id).unwrap();
    assert!(shown["verdict"]["reasons"].to_string().contains("the boot state is \\\"6.2\\\""), "{shown:#}");
    assert_eq!(shown["ahead"], serde_json::json!([]), "it has come to it");
    assert_eq!(device.status().unwrap().lease.unwrap().ahead, 0);
}

#[test]
fn what_no_rule_explains_may_be_approved_ahead_under_a_policy() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    rig.control_plane.set_policy(&id, &rig.control_plane.learn_policy(&id).unwrap()).unwrap();
    judged(&rig, &device, TrustTier::Affirming);
    pre_approve(&rig, &device, "x86-initrd-changed");
    device.stop().unwrap();
    device.tpm.reset_into(&boot_log("x86-initrd-changed")).unwrap();
    device.start().unwrap();
    device.wait_until_entitled().unwrap();
    judged(&rig, &device, TrustTier::Affirming);
}

#[test]
fn what_was_taken_back_is_given_up_with_the_next_report() {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    pre_approve(&rig, &device, "x86-cmdline-changed");
    let withdrawn = rig.control_plane.operator(&["pre-approve", &id, "--withdraw"]).unwrap();
    assert_eq!(withdrawn["withdrawn"], 1);
    device
        .wait_until("the device has no lease ahead", |status| {
            status.lease.as_ref().is_some_and(|lease| lease.accepted && lease.ahead == 0)
        })
        .unwrap();
}

#[test]
fn a_suspended_device_does_not_come_back_by_an_update() {
    let mut rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    pre_approve(&rig, &device, "x86-cmdline-changed");
    rig.control_plane.suspend(&id, "seen outside its site").unwrap();
    device.wait_for(DeviceState::Lapsed).unwrap();
    device.stop().unwrap();
    rig.broker.stop().unwrap();
    device.tpm.reset_into(&boot_log("x86-cmdline-changed")).unwrap();
    device.start().unwrap();
    device.wait_for(DeviceState::Lapsed).unwrap();
    assert_eq!(refusal(&device), "suspended");
}

#[test]
fn a_revocation_ends_the_leases_ahead_on_an_old_disk_too() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    pre_approve(&rig, &device, "x86-cmdline-changed");
    let disk = device.copy_disk(&rig.directory().path().join("old-disk")).unwrap();
    rig.control_plane.revoke(&id, "reported stolen").unwrap();
    device.wait_for(DeviceState::Revoked).unwrap();
    device.stop().unwrap();
    device.restore_disk(&disk).unwrap();
    device.tpm.reset_into(&boot_log("x86-cmdline-changed")).unwrap();
    device.start().unwrap();
    device.wait_for(DeviceState::Revoked).unwrap();
    assert!(!matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
}

/// Approves the boot of a fixture ahead, by its PCRs, and waits until the device has the lease.
fn pre_approve(rig: &Rig, device: &Device, boot: &str) {
    let id = device.status().unwrap().device.to_string();
    let mut arguments = vec!["pre-approve".to_owned(), id.clone(), "--name".to_owned(), "6.2".to_owned()];
    arguments.extend(["--state".to_owned(), rig.control_plane.reported_state(&id).unwrap()]);
    arguments.extend(pcrs(boot).into_iter().flat_map(|pcr| ["--pcr".to_owned(), pcr]));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    rig.control_plane.operator(&arguments).unwrap();
    wait::until("the device has the lease", wait::SOON, || {
        let (shown, status) = (rig.control_plane.show(&id)?, device.status()?);
        ensure!(shown["ahead"][0]["leased"] == true, "{:#}", shown["ahead"]);
        ensure!(status.lease.as_ref().is_some_and(|lease| lease.ahead == 1), "{:?}", status.lease);
        Ok(())
    })
    .unwrap();
}

/// The PCRs of a fixture's boot that leases name, as the command line takes them.
fn pcrs(boot: &str) -> Vec<String> {
    const LEASE: [u8; 8] = [0, 2, 4, 7, 8, 9, 12, 14];
    let bytes = fs::read(boot_log(boot)).unwrap();
    let replayed = EventLog::parse(&bytes).unwrap().replay().unwrap();
    let of_lease = replayed.bank(HashAlgorithm::Sha256).filter(|(index, _)| LEASE.contains(index));
    of_lease.map(|(index, value)| format!("{index}={value}")).collect()
}
