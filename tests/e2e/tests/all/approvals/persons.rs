//! Two persons, where the policy wants two.

use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, DeviceOptions, Terms, TokenAnswer};

use super::TOLD;
use crate::support::{approve_here, failed_bindings, newly_paired, session_id, turned_away};

#[test]
fn one_person_is_not_two() {
    let rig = Rig::for_test_with(&Terms::approved_by(2)).unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let (alice, bob) = (rig.approver("alice").unwrap(), rig.approver("bob").unwrap());
    let old = device.status().unwrap().pairing;
    device.re_pair("board repaired").unwrap();
    assert_eq!(device.wait_for_approver().unwrap().needed, 2);
    device.approve(&alice).unwrap().success().unwrap();
    let waiting = device.wait_for_approver().unwrap();
    assert_eq!(waiting.approved, ["alice"]);

    // Not she again, nor by another key of hers.
    assert_eq!(turned_away(device.approve(&alice).unwrap()), TOLD);
    let second_key = Approver::new(rig.directory(), "second").unwrap();
    let public = std::fs::read_to_string(second_key.key().with_extension("pub")).unwrap();
    let list = std::fs::read_to_string(rig.control_plane.allowed_signers()).unwrap();
    std::fs::write(rig.control_plane.allowed_signers(), format!("{list}alice {public}")).unwrap();
    assert_eq!(turned_away(device.approve(&second_key).unwrap()), TOLD);
    assert_eq!(failed_bindings(&rig, &session_id(&device)), ["person", "person"]);
    assert_eq!(device.status().unwrap().pairing, old);
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));

    let made = approve_here(&device, &bob).pairing;
    assert_ne!(made, old);
}

#[test]
fn one_approves_here_and_one_elsewhere() {
    let rig = Rig::for_test_with(&Terms::approved_by(2)).unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let (alice, bob) = (rig.approver("alice").unwrap(), rig.approver("bob").unwrap());
    device.re_pair("board repaired").unwrap();
    let code = device.wait_for_approver().unwrap().user_code;
    let confirmation = rig.control_plane.approve_for_confirmation(&code, &bob).unwrap();
    device.approve(&alice).unwrap().success().unwrap();
    // It counts once it is confirmed, and not before.
    let waiting = device.wait_for_approver().unwrap();
    assert_eq!((waiting.approved, waiting.unconfirmed), (vec!["alice".to_owned()], 1));
    device.confirm(&confirmation).unwrap().success().unwrap();
    newly_paired(&device);
}
