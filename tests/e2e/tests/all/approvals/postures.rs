//! A device that runs something else than what was approved.

use pawl_e2e::rig::boot_log;
use pawl_proto::local::SessionStage;

use super::waiting;
use crate::lease::wait_until_contraindicated;
use crate::support::{approve_here, failed_bindings, session_id};

#[test]
fn a_boot_after_the_request_is_not_approved_with_it() {
    let (rig, mut device, alice) = waiting();
    let (code, session) = (device.wait_for_approver().unwrap().user_code, session_id(&device));
    device.stop().unwrap();
    device.tpm.reset_into(&boot_log("x86-cmdline-changed")).unwrap();
    device.start().unwrap();
    wait_until_contraindicated(&device);

    let refused = rig.control_plane.approve(&code, &alice).unwrap_err();
    assert!(format!("{refused:#}").contains("refused (boot)"), "{refused:#}");
    assert_eq!(failed_bindings(&rig, &session), ["boot"]);
}

#[test]
fn a_boot_after_the_approval_gets_no_pairing_from_it() {
    let (rig, mut device, alice) = waiting();
    device.give_up().unwrap().success().unwrap();
    device.stop().unwrap();
    device.start_doomed("re-pair.kept").unwrap();
    device.wait_until_entitled().unwrap();
    device.re_pair("board repaired").unwrap();
    let approval = device.approval_of(&alice).unwrap();
    // The daemon may die before it has answered.
    let _ = device.hand_in(&approval);
    device.wait_for_death().unwrap();

    device.tpm.reset_into(&boot_log("x86-cmdline-changed")).unwrap();
    device.start().unwrap();
    let id = device.status().unwrap().device.to_string();
    device.wait_for_stage(SessionStage::Failed).unwrap();
    let told = rig.control_plane.operator(&["records", &id]).unwrap().to_string();
    assert!(told.contains("posture-changed"), "{told}");
    assert_eq!(rig.control_plane.show(&id).unwrap()["pairing"]["state"], "ended");

    // Once the operator has accepted it, it may be asked for and approved.
    rig.control_plane.accept(&id).unwrap();
    device.re_pair("the update was meant").unwrap();
    approve_here(&device, &alice);
}
