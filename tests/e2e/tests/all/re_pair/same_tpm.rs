//! The same TPM: a repaired board, a new disk, and sessions that fail.

use pawl_e2e::Rig;
use pawl_e2e::rig::{ApprovalTerms, Device, DeviceOptions, OldKeys, Terms, TokenAnswer, wait};
use pawl_local_api::{LocalStatus, SessionStage};
use pawl_proto::PairingId;
use pawl_proto::message::{DeviceState, Finding};

use crate::revocation::{assert_dead, verified_receipt};
use crate::support::{approve_here, refusal, seen_by_operator, session_id};

#[test]
fn a_pairing_works_until_another_is_approved() {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let alice = rig.approver("alice").unwrap();
    let disk = device.copy_disk(&rig.directory().path().join("old-disk")).unwrap();
    let before = device.status().unwrap();
    let (id, old) = (before.device.to_string(), before.pairing.clone().unwrap());
    assert_eq!(before.finding, Finding::NothingChanged);

    device.re_pair("board repaired").unwrap();
    let waiting = device.wait_for_approver().unwrap();
    assert_eq!((waiting.needed, waiting.approved.len()), (1, 0));
    let session = device.session().unwrap();
    let asked = session.asked.unwrap();
    assert_eq!((asked.action.as_str(), asked.reason.as_str()), ("re-pair", "board repaired"));
    assert_eq!(asked.known.ends.unwrap().pairing, old.id);

    // While the session waits, the old pairing works.
    answers_a_report(&rig, &id);
    assert_untouched(&rig, &device, &before);

    let made = approve_here(&device, &alice).pairing.unwrap();
    assert_eq!(made.id, PairingId::from(session.id.unwrap()));
    assert!(made.epoch > old.epoch, "{made:?}");
    let receipt = verified_receipt(&rig, &id, old.epoch.0);
    assert_eq!(receipt["cause"], "repair");
    let shown = rig.control_plane.show(&id).unwrap();
    assert_eq!(shown["pairing"]["id"], made.id.to_string());
    assert_eq!(shown["pairing"]["state"], "live");
    let seen = seen_by_operator(&rig, &session.id.unwrap().to_string());
    assert_eq!((&seen["state"], &seen["approved"][0]["principal"]), (&"spent".into(), &"alice".into()));
    let records = rig.control_plane.operator(&["records", &id]).unwrap().to_string();
    for told in [old.id.to_string(), made.id.to_string(), "alice".to_owned(), "board repaired".to_owned()] {
        assert!(records.contains(&told), "no {told} in {records}");
    }

    device.stop().unwrap();
    assert_dead(&OldKeys::read(&disk).unwrap(), &device);
}

#[test]
fn a_new_disk_is_paired_by_the_same_tpm() {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let alice = rig.approver("alice").unwrap();
    let disk = device.copy_disk(&rig.directory().path().join("old-disk")).unwrap();
    let old = device.status().unwrap().pairing.unwrap();
    device.stop().unwrap();
    device.new_disk().unwrap();
    device.start().unwrap();

    let found = device.status().unwrap();
    assert_eq!((found.state, found.finding), (DeviceState::Unpaired, Finding::NewDisk));
    assert_eq!(refusal(&device), "unpaired");
    // There is no pairing here that would end; the control plane knows of one.
    device.pair().unwrap();
    device.wait_for_approver().unwrap();
    let asked = device.session().unwrap().asked.unwrap();
    assert_eq!(asked.action, "re-pair");
    assert_eq!(asked.known.ends.unwrap().pairing, old.id);

    let made = approve_here(&device, &alice).pairing.unwrap();
    assert!(made.epoch > old.epoch);

    // No key on the old disk works any more.
    device.stop().unwrap();
    assert_dead(&OldKeys::read(&disk).unwrap(), &device);
    device.restore_disk(&disk).unwrap();
    device.start().unwrap();
    device.wait_for(DeviceState::Revoked).unwrap();
}

#[test]
fn a_session_that_is_given_up_or_declined_changes_nothing() {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    rig.approver("alice").unwrap();
    let disk = device.copy_disk(&rig.directory().path().join("disk")).unwrap();
    let before = device.status().unwrap();

    device.re_pair("a mistake").unwrap();
    device.wait_for_approver().unwrap();
    assert_eq!(device.give_up().unwrap().status, 204);
    assert_eq!(failure(&device), "given-up");
    assert_untouched(&rig, &device, &before);
    assert_eq!(device.give_up().unwrap().status, 409, "there is nothing to give up");

    device.re_pair("an odd request").unwrap();
    device.wait_for_approver().unwrap();
    rig.control_plane.decline(&session_id(&device), "nobody called about it").unwrap();
    assert_eq!(failure(&device), "declined");
    let problem = device.session().unwrap().problem.unwrap();
    assert!(problem.reason.contains("nobody called about it"), "{problem:?}");
    assert_untouched(&rig, &device, &before);

    device.stop().unwrap();
    for (name, answer) in OldKeys::read(&disk).unwrap().try_all(&device.tpm.tcti()).unwrap() {
        answer.unwrap_or_else(|error| panic!("the {name} does not work: {error}"));
    }
}

#[test]
fn a_session_that_nobody_approves_in_time_changes_nothing() {
    let approvals = ApprovalTerms { seconds: 2, ..ApprovalTerms::persons(1) };
    let rig = Rig::for_test_with(&Terms { approvals, ..Terms::default() }).unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    rig.approver("alice").unwrap();
    let before = device.status().unwrap();
    device.re_pair("nobody is there").unwrap();
    device.wait_for_stage(SessionStage::Failed).unwrap();
    assert_eq!(seen_by_operator(&rig, &session_id(&device))["state"], "expired");
    assert_untouched(&rig, &device, &before);
}

fn failure(device: &Device) -> String {
    device.wait_for_stage(SessionStage::Failed).unwrap().problem.unwrap().error
}

fn answers_a_report(rig: &Rig, id: &str) {
    let sequence = || anyhow::Ok(rig.control_plane.show(id)?["verdict"]["sequence"].as_u64());
    let last = sequence().unwrap();
    rig.control_plane.refresh(id).unwrap();
    wait::until("a report is answered", wait::SOON, || {
        anyhow::ensure!(sequence()? > last, "no new verdict");
        Ok(())
    })
    .unwrap();
}

/// Token, epoch, keys and what the control plane has: all as before.
fn assert_untouched(rig: &Rig, device: &Device, before: &LocalStatus) {
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
    let status = device.status().unwrap();
    assert_eq!((status.state, status.counter), (DeviceState::Entitled, before.counter));
    assert_eq!(status.pairing, before.pairing);
    let shown = rig.control_plane.show(before.device.as_str()).unwrap();
    assert_eq!(shown["pairing"]["id"], before.pairing.as_ref().unwrap().id.to_string());
    assert_eq!(shown["pairing"]["state"], "live");
}
