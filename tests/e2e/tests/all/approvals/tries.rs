//! Five tries of each kind, and the session is over.

use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, TokenAnswer};
use pawl_local_api::SessionStage;

use super::waiting;
use crate::support::{seen_by_operator, session_id};

#[test]
fn five_wrong_approvals_end_a_session() {
    let (rig, device, alice) = waiting();
    let right = device.approval_of(&alice).unwrap();
    let stranger = Approver::new(rig.directory(), "mallory").unwrap();
    let wrong = device.approval_of(&stranger).unwrap();
    for _ in 0..5 {
        device.hand_in(&wrong).unwrap().success().unwrap();
    }
    assert_over(&rig, &device);
    assert_eq!(device.hand_in(&right).unwrap().status, 409, "nothing waits any more");
}

#[test]
fn five_wrong_confirmations_end_a_session() {
    let (rig, device, alice) = waiting();
    let code = device.wait_for_approver().unwrap().user_code;
    let right = rig.control_plane.approve_for_confirmation(&code, &alice).unwrap();
    let wrong = another_than(&right);
    for _ in 0..5 {
        device.confirm(wrong).unwrap().success().unwrap();
    }
    assert_over(&rig, &device);
    assert_eq!(device.confirm(&right).unwrap().status, 409, "nothing waits any more");
}

#[test]
fn five_wrong_codes_end_a_session() {
    let (rig, device, alice) = waiting();
    let code = device.wait_for_approver().unwrap().user_code;
    let (group, secret) = code.split_once('-').unwrap();
    let wrong = format!("{group}-{}", another_than(secret));
    for _ in 0..5 {
        let refused = rig.control_plane.approve(&wrong, &alice).unwrap_err().to_string();
        assert!(refused.contains("the code is wrong"), "{refused}");
    }
    let refused = rig.control_plane.approve(&code, &alice).unwrap_err().to_string();
    assert!(refused.contains("no open session has this code"), "{refused}");
    assert_over(&rig, &device);
}

/// Two groups of letters that are not these.
fn another_than(right: &str) -> &'static str {
    if right == "BCDF-GHJK" { "KJHG-FDCB" } else { "BCDF-GHJK" }
}

fn assert_over(rig: &Rig, device: &Device) {
    let problem = device.wait_for_stage(SessionStage::Failed).unwrap().problem.unwrap();
    assert_eq!(problem.error, "declined", "{problem:?}");
    assert_eq!(seen_by_operator(rig, &session_id(device))["state"], "declined");
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
}
