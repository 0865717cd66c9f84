//! The control plane fails in the middle of a re-pair.

use pawl_e2e::Rig;
use pawl_e2e::rig::{DeviceOptions, Terms};
use pawl_proto::local::SessionStage;

use crate::support::{approve_here, newly_paired, seen_by_operator, session_id};

#[test]
fn a_session_outlives_the_control_plane() {
    let mut rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let alice = rig.approver("alice").unwrap();
    device.re_pair("board repaired").unwrap();
    let before = device.wait_for_approver().unwrap();
    let session = session_id(&device);

    rig.control_plane.kill().unwrap();
    let approval = device.approval_of(&alice).unwrap();
    let answer = device.hand_in(&approval).unwrap();
    assert_eq!(answer.status, 503, "{answer}");
    assert_eq!(device.session().unwrap().stage, SessionStage::Waiting);

    rig.control_plane.start().unwrap();
    assert_eq!(device.wait_for_approver().unwrap().user_code, before.user_code);
    approve_here(&device, &alice);
    assert_eq!(session_id(&device), session);
}

#[test]
fn an_approval_outlives_the_control_plane() {
    let mut rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let alice = rig.approver("alice").unwrap();
    let old = device.status().unwrap();
    device.re_pair("board repaired").unwrap();
    let approval = device.approval_of(&alice).unwrap();
    device.hand_in(&approval).unwrap().success().unwrap();
    rig.control_plane.kill().unwrap();

    rig.control_plane.start().unwrap();
    let status = newly_paired(&device);
    assert!(status.counter > old.counter);
    assert_eq!(seen_by_operator(&rig, &session_id(&device))["state"], "spent");
}
