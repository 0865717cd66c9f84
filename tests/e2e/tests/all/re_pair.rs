//! Re-pair: what was found, what ends and when, and its outcome.

mod command_line;
mod cuts;
mod ordered;
mod same_tpm;
mod swapped_tpm;

use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, DeviceOptions, OldKeys, StateCopy, Terms, TokenAnswer};
use pawl_local_api::{LocalStatus, SessionStage};
use pawl_proto::Epoch;
use pawl_proto::message::{DeviceState, Finding};

use crate::revocation::{assert_dead, verified_receipt};
use crate::support::{TokenRequest, Tpm2Tools, approve_here, newly_paired, seen_by_operator, session_id};
use ordered::wait_for_technician_wanted;

#[test]
fn what_was_paired_is_refused_everywhere_before_anything_is_issued() {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let mut before = Before::of(&rig);
    before.device.start_doomed("re-pair.wiped").unwrap();
    before.device.wait_until_entitled().unwrap();
    before.approve_until_death();
    before.assert_refused_by_control_plane(&rig);

    // The broker needs a signature of the link key; the other two keys need a lease. None of them signs.
    let Before { mut device, keys, epoch, id, .. } = before;
    assert_eq!(Tpm2Tools::on(&device.tpm).counter(), epoch.0 + 1);
    assert_dead(&keys, &device);
    assert_eq!(verified_receipt(&rig, &id, epoch.0)["cause"], "repair");

    device.start().unwrap();
    let status = device.wait_until_entitled().unwrap();
    assert!(status.counter.unwrap() > epoch);
}

#[test]
fn a_device_that_does_not_hear_of_its_approval_gets_nothing_from_the_control_plane() {
    let mut rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let mut before = Before::of(&rig);
    before.device.start_doomed("re-pair.approved").unwrap();
    before.device.wait_until_entitled().unwrap();
    rig.broker.stop().unwrap();
    before.approve_until_death();
    // Its TPM cannot know yet.
    assert_eq!(Tpm2Tools::on(&before.device.tpm).counter(), before.epoch.0);
    before.assert_refused_by_control_plane(&rig);

    // It hears of it by the order that waits for it, and nothing but a new approval pairs it.
    rig.broker.resume().unwrap();
    let Before { mut device, alice, id, epoch, disk, .. } = before;
    device.start().unwrap();
    wait_for_technician_wanted(&device);
    assert!(!matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
    assert_eq!(verified_receipt(&rig, &id, epoch.0)["cause"], "repair");
    device.re_pair("once more").unwrap();
    approve_here(&device, &alice);
    device.stop().unwrap();
    assert_dead(&OldKeys::read(&disk).unwrap(), &device);
}

/// A paired device whose keys have signed a token request that was not sent yet.
struct Before {
    device: Device,
    alice: Approver,
    id: String,
    epoch: Epoch,
    disk: StateCopy,
    keys: OldKeys,
    request: TokenRequest,
}

impl Before {
    fn of(rig: &Rig) -> Self {
        let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
        let alice = rig.approver("alice").unwrap();
        let status = device.status().unwrap();
        let id = status.device.to_string();
        device.stop().unwrap();
        let disk = device.copy_disk(&rig.directory().path().join("disk")).unwrap();
        let keys = OldKeys::read(&disk).unwrap();
        // Without this, the refusal of the other one would prove nothing.
        let (answer, body) = TokenRequest::sign(rig, &device, &id, &keys, "one").send(rig);
        assert_eq!(answer, 200, "{body}");
        let request = TokenRequest::sign(rig, &device, &id, &keys, "two");
        Self { device, alice, id, epoch: status.counter.unwrap(), disk, keys, request }
    }

    /// Has a re-pair approved; the daemon dies on the way.
    fn approve_until_death(&mut self) {
        self.device.re_pair("board repaired").unwrap();
        let approval = self.device.approval_of(&self.alice).unwrap();
        // The daemon may die before it has answered.
        let _ = self.device.hand_in(&approval);
        self.device.wait_for_death().unwrap();
    }

    fn assert_refused_by_control_plane(&self, rig: &Rig) {
        let (answer, body) = self.request.send(rig);
        assert_eq!((answer, &body["error"]), (401, &"invalid_client".into()), "{body}");
        assert!(body["error_description"].as_str().unwrap().contains("revoked"), "{body}");
        assert_ne!(rig.control_plane.show(&self.id).unwrap()["pairing"]["state"], "live");
    }
}

#[test]
fn an_order_on_the_disk_of_another_device_ends_nothing_here() {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let (mut cut, device) = same_epochs(&rig);
    cut.start_doomed("wipe.gate-closed").unwrap();
    cut.wait_until_entitled().unwrap();
    let id = cut.status().unwrap().device;
    rig.control_plane.revoke(id.as_str(), "reported stolen").unwrap();
    cut.wait_for_death().unwrap();
    assert_unharmed_by_the_disk_of(&rig, &cut, device);
}

#[test]
fn an_approval_on_the_disk_of_another_device_ends_nothing_here() {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let alice = rig.approver("alice").unwrap();
    let (mut cut, device) = same_epochs(&rig);
    cut.start_doomed("re-pair.kept").unwrap();
    cut.wait_until_entitled().unwrap();
    cut.re_pair("board repaired").unwrap();
    let approval = cut.approval_of(&alice).unwrap();
    // The daemon may die before it has answered.
    let _ = cut.hand_in(&approval);
    cut.wait_for_death().unwrap();
    assert_unharmed_by_the_disk_of(&rig, &cut, device);
}

/// Two paired devices whose epochs have the same number; the first one is stopped.
fn same_epochs(rig: &Rig) -> (Device, Device) {
    let [mut first, second] =
        ["pump-7", "pump-8"].map(|name| rig.paired_device(name, DeviceOptions::default()).unwrap());
    assert_eq!(first.status().unwrap().counter, second.status().unwrap().counter);
    first.stop().unwrap();
    (first, second)
}

/// Puts the disk of `other` into `device`, and then its own back.
fn assert_unharmed_by_the_disk_of(rig: &Rig, other: &Device, mut device: Device) {
    let before = device.status().unwrap();
    let foreign = other.copy_disk(&rig.directory().path().join("foreign-disk")).unwrap();
    let own = device.copy_disk(&rig.directory().path().join("own-disk")).unwrap();
    device.stop().unwrap();
    device.restore_disk(&foreign).unwrap();
    device.start().unwrap();
    let found: LocalStatus =
        device.wait_until("it says whose disk it is", |status| status.former.is_some()).unwrap();
    assert_eq!((found.state, found.finding), (DeviceState::Unpaired, Finding::NewTpm));
    assert_ne!(found.former, Some(before.device));
    assert!(!matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
    device.stop().unwrap();
    assert_eq!(Some(Tpm2Tools::on(&device.tpm).counter()), before.counter.map(|epoch| epoch.0));

    device.restore_disk(&own).unwrap();
    device.start().unwrap();
    assert_eq!(device.wait_until_entitled().unwrap().pairing, before.pairing);
}

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
