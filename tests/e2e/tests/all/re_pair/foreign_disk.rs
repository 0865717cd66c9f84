//! A disk that was cut off in the middle of something, in another device: that device's own TPM and
//! pairing have nothing to do with it.

use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, Terms, TokenAnswer};
use pawl_proto::local::LocalStatus;
use pawl_proto::message::{DeviceState, Finding};

use crate::support::Tpm2Tools;

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
