//! A re-pair that the operator orders.

use pawl_e2e::Rig;
use pawl_e2e::rig::{ApprovalTerms, Device, DeviceOptions, Terms, TokenAnswer};
use pawl_local_api::LocalStatus;
use pawl_proto::message::DeviceState;

use crate::revocation::verified_receipt;
use crate::support::approve_here;

#[test]
fn a_device_that_was_ordered_to_re_pair_waits_for_a_technician() {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let alice = rig.approver("alice").unwrap();
    let before = device.status().unwrap();
    let (id, epoch) = (before.device.to_string(), before.counter.unwrap());

    rig.control_plane.repair(&id, "board recalled").unwrap();
    wait_for_technician_wanted(&device);
    let receipt = verified_receipt(&rig, &id, epoch.0);
    assert_eq!((&receipt["cause"], &receipt["reason"]), (&"repair".into(), &"board recalled".into()));
    assert!(!matches!(device.token().unwrap(), TokenAnswer::Granted(_)));

    // Nothing but a person changes that.
    device.stop().unwrap();
    device.start().unwrap();
    wait_for_technician_wanted(&device);

    device.re_pair("the technician is there").unwrap();
    let status = approve_here(&device, &alice);
    assert!(status.counter.unwrap() > epoch);
}

#[test]
fn a_device_re_pairs_by_itself_where_the_operator_says_so() {
    let approvals = ApprovalTerms { after_repair: 0, ..ApprovalTerms::persons(1) };
    let rig = Rig::for_test_with(&Terms { approvals, ..Terms::default() }).unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    rig.approver("alice").unwrap();
    let before = device.status().unwrap();
    let (id, epoch) = (before.device.to_string(), before.counter.unwrap());

    rig.control_plane.repair(&id, "new keys for all").unwrap();
    let pairing_id = |status: &LocalStatus| status.pairing.as_ref().map(|pairing| pairing.id);
    device.wait_until("it is paired anew", |status| pairing_id(status) != pairing_id(&before)).unwrap();
    let status = device.wait_until_entitled().unwrap();
    assert!(status.counter.unwrap() > epoch);
    verified_receipt(&rig, &id, epoch.0);

    // That was for the order; what a technician asks for takes a person as ever.
    device.re_pair("once more").unwrap();
    assert_eq!(device.wait_for_approver().unwrap().needed, 1);
}

#[test]
fn an_order_that_follows_from_an_approval_waives_no_person() {
    let approvals = ApprovalTerms { after_repair: 0, ..ApprovalTerms::persons(1) };
    let rig = Rig::for_test_with(&Terms { approvals, ..Terms::default() }).unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let alice = rig.approver("alice").unwrap();
    device.stop().unwrap();
    device.start_doomed("re-pair.approved").unwrap();
    device.wait_until_entitled().unwrap();
    device.re_pair("board repaired").unwrap();
    let approval = device.approval_of(&alice).unwrap();
    // The daemon may die before it has answered.
    let _ = device.hand_in(&approval);
    device.wait_for_death().unwrap();

    // The approval is lost, the order comes: it was the approver's, and not the operator's.
    device.start().unwrap();
    wait_for_technician_wanted(&device);
}

#[test]
fn an_order_whose_cause_was_not_written_is_learnt_with_the_receipt() {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let (id, epoch) = {
        let before = device.status().unwrap();
        (before.device.to_string(), before.counter.unwrap())
    };
    device.stop().unwrap();
    device.start_doomed("wipe.told").unwrap();
    device.wait_until_entitled().unwrap();
    rig.control_plane.repair(&id, "board recalled").unwrap();
    device.wait_for_death().unwrap();
    // As if the kill had come between the increment and the write, which takes a few milliseconds.
    std::fs::remove_file(device.state_dir().join("revocation.cbor")).unwrap();

    device.start().unwrap();
    let status = wait_for_technician_wanted(&device);
    assert!(status.problem.unwrap().reason.contains("board recalled"));
    let receipt = verified_receipt(&rig, &id, epoch.0);
    assert_eq!(receipt["cause"], "recovery");

    // The next process knows it from the disk: there is no receipt left to submit.
    device.stop().unwrap();
    device.start().unwrap();
    let status = wait_for_technician_wanted(&device);
    assert!(status.problem.unwrap().reason.contains("board recalled"));
}

/// Waits until the device says that a person must come.
pub(super) fn wait_for_technician_wanted(device: &Device) -> LocalStatus {
    let status = device
        .wait_until("a technician is wanted", |status| {
            status.problem.as_ref().is_some_and(|problem| problem.error == "technician-wanted")
        })
        .unwrap();
    assert_eq!(status.state, DeviceState::Pairing);
    status
}
