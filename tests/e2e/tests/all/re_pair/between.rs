//! Between an approval and the new pairing: the old one is dead everywhere.

use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, DeviceOptions, OldKeys, StateCopy, Terms, TokenAnswer};
use pawl_proto::Epoch;

use super::ordered::wait_for_technician_wanted;
use crate::revocation::{assert_dead, verified_receipt};
use crate::support::{TokenRequest, Tpm2Tools, approve_here};

#[test]
fn what_was_paired_is_refused_everywhere_before_anything_is_issued() {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let mut before = Before::of(&rig);
    before.device.start_doomed("re-pair.wiped").unwrap();
    before.device.wait_until_entitled().unwrap();
    before.approve_until_death();
    before.assert_refused_by_control_plane(&rig);

    // The broker wants a signature of the link key, leases are for the other two: none signs.
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
