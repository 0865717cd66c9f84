//! Another TPM: what takes the place of a device, and what does not.

use std::path::Path;

use pawl_e2e::Rig;
use pawl_e2e::rig::{ApprovalTerms, Device, DeviceOptions, Swtpm, Terms, TokenAnswer};
use pawl_local_api::{PairRequest, SessionStage};
use pawl_proto::DeviceId;
use pawl_proto::message::{DeviceState, Finding, Scope, ShortText};

use crate::revocation::verified_receipt;
use crate::support::{approve_here, refusal};

#[test]
fn a_new_board_takes_the_place_of_the_old_one() {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let mut device = rig.device("pump", DeviceOptions::default()).unwrap();
    device.start().unwrap();
    rig.control_plane.enrol(&device.status().unwrap().ek_sha256, "pump 7").unwrap();
    device.ask_to_pair(&asking(&["telemetry", "maintenance"], None)).unwrap();
    let status = device.wait_until_entitled().unwrap();
    let alice = rig.approver("alice").unwrap();
    let (old, epoch) = (status.device, status.counter.unwrap());
    let disk = device.copy_disk(&rig.directory().path().join("old-disk")).unwrap();
    let old_tpm = swap_board(&rig, &mut device);

    let found = device.status().unwrap();
    let new = found.device;
    assert_ne!(new, old);
    assert_eq!((found.finding, found.former), (Finding::NewTpm, Some(old)));
    assert_eq!(found.state, DeviceState::Unpaired);

    device.ask_to_pair(&asking(&["telemetry"], Some(old))).unwrap();
    device.wait_for_approver().unwrap();
    let asked = device.session().unwrap().asked.unwrap();
    assert_eq!(asked.replaces, Some(old));
    assert_eq!(asked.known.replaced.unwrap().scopes, scopes(&["maintenance", "telemetry"]));
    // Until somebody approves, the old device has lost nothing, and the new one is not enrolled.
    assert_eq!(rig.control_plane.show(old.as_str()).unwrap()["pairing"]["state"], "live");
    assert!(rig.control_plane.show(new.as_str()).is_err());

    let status = approve_here(&device, &alice);
    // The old device's scopes are offered, not granted automatically.
    assert_eq!(status.pairing.unwrap().scopes, scopes(&["telemetry"]));
    let shown = rig.control_plane.show(new.as_str()).unwrap();
    assert_eq!((&shown["label"], &shown["replaces"]), (&"pump 7".into(), &old.as_str().into()));
    let shown = rig.control_plane.show(old.as_str()).unwrap();
    assert_eq!((&shown["standing"], &shown["replaced_by"]), (&"suspended".into(), &new.as_str().into()));
    assert!(shown["standing_reason"].as_str().unwrap().contains(new.as_str()), "{shown:#}");
    assert_eq!(shown["pairing"]["state"], "revoking");

    // The old board comes back with the old disk: its order waits for it.
    let options =
        DeviceOptions { boot_log: old_tpm.boot_log().map(Path::to_owned), ..DeviceOptions::default() };
    let mut board =
        Device::install(rig.directory(), "old-board", old_tpm, &rig.control_plane, options).unwrap();
    board.restore_disk(&disk).unwrap();
    board.start().unwrap();
    board.wait_for(DeviceState::Revoked).unwrap();
    let receipt = verified_receipt(&rig, old.as_str(), epoch.0);
    assert_eq!(receipt["cause"], "revoke");
    board.re_pair("let me in").unwrap();
    let refused = board.wait_for_stage(SessionStage::Failed).unwrap().problem.unwrap();
    assert_eq!(refused.error, "suspended", "{refused:?}");
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
}

#[test]
fn a_new_board_that_nobody_knows_is_refused() {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let old = device.status().unwrap().device;
    rig.approver("alice").unwrap();
    swap_board(&rig, &mut device);

    device.re_pair("the board was swapped").unwrap();
    let refused = device.wait_for_stage(SessionStage::Failed).unwrap().problem.unwrap();
    assert_eq!(refused.error, "not-enrolled", "{refused:?}");
    assert_eq!(refusal(&device), "not-enrolled");
    assert_keeps_its_place(&rig, old);
    // A device that is not there cannot be replaced.
    device.ask_to_pair(&asking(&["telemetry"], Some(DeviceId::from_digest([7; 32])))).unwrap();
    let refused = device.wait_for_stage(SessionStage::Failed).unwrap().problem.unwrap();
    assert_eq!(refused.error, "malformed", "{refused:?}");
    assert_keeps_its_place(&rig, old);
}

#[test]
fn nobody_takes_a_place_without_a_person() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let old = device.status().unwrap().device;
    swap_board(&rig, &mut device);
    device.ask_to_pair(&asking(&["telemetry"], Some(old))).unwrap();
    let refused = device.wait_for_stage(SessionStage::Failed).unwrap().problem.unwrap();
    assert_eq!(refused.error, "no-approvers", "{refused:?}");
    assert_keeps_its_place(&rig, old);
}

#[test]
fn an_enrolled_device_does_not_end_another_one_without_a_person() {
    let rig = Rig::for_test().unwrap();
    let victim = rig.paired_device("victim", DeviceOptions::default()).unwrap();
    let attacker = rig.paired_device("attacker", DeviceOptions::default()).unwrap();
    let alice = rig.approver("alice").unwrap();
    let victims = victim.status().unwrap().device;
    // `re_pair = 0` stands in the configuration.
    attacker.ask_to_pair(&asking(&["telemetry"], Some(victims))).unwrap();
    attacker.wait_for_approver().unwrap();
    victim.wait_until_entitled().unwrap();
    let shown = rig.control_plane.show(victims.as_str()).unwrap();
    assert_eq!((&shown["standing"], &shown["pairing"]["state"]), (&"active".into(), &"live".into()));

    approve_here(&attacker, &alice);
    assert_eq!(rig.control_plane.show(victims.as_str()).unwrap()["standing"], "suspended");
}

#[test]
fn a_new_board_with_a_new_disk_takes_a_place_too() {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let alice = rig.approver("alice").unwrap();
    let old = device.status().unwrap().device;
    device.stop().unwrap();
    device.new_disk().unwrap();
    swap_board(&rig, &mut device);
    let found = device.status().unwrap();
    assert_eq!((found.finding, found.former), (Finding::BothNew, None));

    device.ask_to_pair(&asking(&["telemetry"], Some(old))).unwrap();
    approve_here(&device, &alice);
    assert_eq!(rig.control_plane.show(old.as_str()).unwrap()["standing"], "suspended");
}

#[test]
fn a_new_board_that_was_enrolled_is_a_device_of_its_own() {
    let approvals = ApprovalTerms { pair: 1, ..ApprovalTerms::nobody() };
    let rig = Rig::for_test_with(&Terms { approvals, ..Terms::default() }).unwrap();
    let alice = rig.approver("alice").unwrap();
    let mut device = rig.device("device", DeviceOptions::default()).unwrap();
    device.start().unwrap();
    let found = device.status().unwrap();
    assert_eq!(found.finding, Finding::BothNew);
    rig.control_plane.enrol(&found.ek_sha256, "device").unwrap();
    device.pair().unwrap();
    device.wait_for_approver().unwrap();
    let asked = device.session().unwrap().asked.unwrap();
    assert_eq!((asked.action.as_str(), asked.known.ends), ("pair", None));
    approve_here(&device, &alice);
}

/// Puts a new TPM in; the old one.
fn swap_board(rig: &Rig, device: &mut Device) -> Swtpm {
    device.stop().unwrap();
    let boot_log = device.tpm.boot_log().map(Path::to_owned);
    let old = device.replace_tpm(rig.new_tpm("new-board", boot_log).unwrap()).unwrap();
    device.start().unwrap();
    old
}

fn assert_keeps_its_place(rig: &Rig, device: DeviceId) {
    let shown = rig.control_plane.show(device.as_str()).unwrap();
    assert_eq!((&shown["standing"], &shown["replaced_by"]), (&"active".into(), &serde_json::Value::Null));
    assert_eq!(shown["pairing"]["state"], "live");
    assert!(
        rig.control_plane.sessions().unwrap().as_array().unwrap().iter().all(|seen| seen["state"] == "spent")
    );
}

fn asking(wanted: &[&str], replaces: Option<DeviceId>) -> PairRequest {
    let reason = ShortText::lossy("the board was swapped");
    PairRequest { reason, scopes: scopes(wanted), replaces, again: true, ..PairRequest::default() }
}

fn scopes(names: &[&str]) -> Vec<Scope> {
    names.iter().map(|name| Scope::new(*name).unwrap()).collect()
}
