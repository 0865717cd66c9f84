//! Whose key, when, and in which namespace.

use pawl_e2e::rig::Approver;
use pawl_proto::local::ApprovalRequest;

use super::{TOLD, waiting};
use crate::support::{approve_here, failed_bindings, session_id, turned_away};

#[test]
fn a_key_counts_on_its_dates_and_for_approvals_alone() {
    let (rig, device, alice) = waiting();
    let admitted = |name: &str, options: &str| {
        let approver = Approver::new(rig.directory(), name).unwrap();
        approver.admit_with(&rig.control_plane, options).unwrap();
        approver
    };
    let stranger = Approver::new(rig.directory(), "mallory").unwrap();
    let cases = [
        (admitted("retired", "valid-before=\"20240101Z\""), "dates"),
        (admitted("apprentice", "valid-after=\"20990101Z\""), "dates"),
        (admitted("committer", "namespaces=\"file,git\""), "namespace"),
        (stranger, "key"),
    ];
    for (approver, binding) in &cases {
        assert_eq!(turned_away(device.approve(approver).unwrap()), TOLD, "{}", approver.name());
        assert_eq!(failed_bindings(&rig, &session_id(&device)).last().unwrap(), binding);
    }
    approve_here(&device, &alice);
}

#[test]
fn a_signature_for_something_else_is_no_approval() {
    let (rig, device, alice) = waiting();
    let asked = device.session().unwrap().asked.unwrap();
    let elsewhere = alice.sign("file", asked.digest.as_bytes()).unwrap();
    // As `echo` would have it.
    let with_a_newline = alice.sign(Approver::NAMESPACE, format!("{}\n", asked.digest).as_bytes()).unwrap();
    for (signature, binding) in
        [(elsewhere, "namespace"), (with_a_newline, "signature"), ("no signature".to_owned(), "signature")]
    {
        let approval = ApprovalRequest { statement: asked.statement.clone(), signature };
        assert_eq!(turned_away(device.hand_in(&approval).unwrap()), TOLD);
        assert_eq!(failed_bindings(&rig, &session_id(&device)).last().unwrap(), binding);
    }
    approve_here(&device, &alice);
}

#[test]
fn whoever_is_taken_from_the_list_approves_nothing_more() {
    let (rig, device, alice) = waiting();
    let bob = rig.approver("bob").unwrap();
    let code = device.wait_for_approver().unwrap().user_code;
    let confirmation = rig.control_plane.approve_for_confirmation(&code, &alice).unwrap();
    let list = std::fs::read_to_string(rig.control_plane.allowed_signers()).unwrap();
    let without_alice: String = list.lines().filter(|line| !line.starts_with("alice")).collect();
    std::fs::write(rig.control_plane.allowed_signers(), format!("{without_alice}\n")).unwrap();

    // She approved while she might; it comes to count now.
    assert_eq!(turned_away(device.confirm(&confirmation).unwrap()), TOLD);
    assert_eq!(failed_bindings(&rig, &session_id(&device)), ["key"]);
    assert_eq!(turned_away(device.approve(&alice).unwrap()), TOLD);
    approve_here(&device, &bob);
}

#[test]
fn keys_of_each_type_approve() {
    let (rig, device, _) = waiting();
    for key_type in ["rsa", "ecdsa"] {
        let approver = Approver::with_key(rig.directory(), key_type, key_type).unwrap();
        approver.admit(&rig.control_plane).unwrap();
        device.re_pair(key_type).unwrap();
        device.wait_for_approver().unwrap();
        approve_here(&device, &approver);
    }
}
