//! What an approval counts for: one session, one device, one request, for a while and once.

mod replays;
mod swaps;
mod tries;

use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, DeviceOptions, Terms, TokenAnswer, boot_log};
use pawl_local_api::{ApprovalRequest, PairRequest, SessionStage};
use pawl_proto::message::{DeviceState, Scope, ShortText};

use crate::lease::wait_until_contraindicated;
use crate::support::{approve_here, failed_bindings, newly_paired, session_id, turned_away};

/// The message for the person at the device: the same for each failed check.
const TOLD: &str = "approval rejected; the operator can see the reason with: pawl-control-plane sessions";

/// A device that waits for the approval of a person.
fn waiting() -> (Rig, Device, Approver) {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let alice = rig.approver("alice").unwrap();
    device.re_pair("board repaired").unwrap();
    device.wait_for_approver().unwrap();
    (rig, device, alice)
}

fn asking(scopes: &[&str]) -> PairRequest {
    PairRequest {
        reason: ShortText::lossy("board repaired"),
        scopes: scopes.iter().map(|scope| Scope::new(*scope).unwrap()).collect(),
        again: true,
        ..PairRequest::default()
    }
}

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
fn a_key_removed_from_the_list_approves_nothing() {
    let (rig, device, alice) = waiting();
    let bob = rig.approver("bob").unwrap();
    let code = device.wait_for_approver().unwrap().user_code;
    let confirmation = rig.control_plane.approve_for_confirmation(&code, &alice).unwrap();
    let list = std::fs::read_to_string(rig.control_plane.allowed_signers()).unwrap();
    let without_alice: String = list.lines().filter(|line| !line.starts_with("alice")).collect();
    std::fs::write(rig.control_plane.allowed_signers(), format!("{without_alice}\n")).unwrap();

    // Alice approved while her key was allowed; the approval is confirmed only now.
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
fn a_technician_cancels_the_open_session_and_the_old_pairing_goes_on() {
    let (_rig, device, alice) = waiting();
    let approval = device.approval_of(&alice).unwrap();
    let session = session_id(&device);
    let run = device.pawlctl(&["cancel", "--json"]).unwrap();
    let said: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(said, serde_json::json!({ "session": session }));

    assert!(device.hand_in(&approval).unwrap().success().is_err(), "a cancelled session was approved");
    assert_eq!(device.status().unwrap().state, DeviceState::Entitled);
    let again = device.pawlctl(&["cancel"]).unwrap();
    assert_eq!(again.status.code(), Some(1));
    let text = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(text.contains("no session is open"), "{text}");
    device.re_pair("the right board").unwrap();
    device.wait_for_approver().unwrap();
    let run = device.pawlctl(&["cancel"]).unwrap();
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(text, "cancelled the session; nothing has changed: the old pairing still works\n");
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
