//! The bus between the daemon and its TPM carries no secret in the clear.

use pawl_e2e::Rig;
use pawl_e2e::rig::{DeviceOptions, OldKeys, Terms};
use pawl_proto::message::DeviceState;

#[test]
fn the_vault_key_never_crosses_the_bus_in_the_clear() {
    // A lease so short that it runs out: the TPM's refusals are the failures that are provoked.
    let rig = Rig::for_test_with(&Terms { lease_seconds: 6, ..Terms::default() }).unwrap();
    let options = DeviceOptions { record: true, ..DeviceOptions::default() };
    let mut device = rig.paired_device("device", options).unwrap();
    let id = device.status().unwrap().device.to_string();

    rig.control_plane.suspend(&id, "a provoked failure").unwrap();
    device.wait_for(DeviceState::Lapsed).unwrap();
    device
        .wait_until("the TPM refuses", |status| status.lease.as_ref().is_some_and(|lease| !lease.accepted))
        .unwrap();
    rig.control_plane.resume(&id).unwrap();
    device.wait_until_entitled().unwrap();
    // A start opens the vault again.
    device.stop().unwrap();
    device.start().unwrap();
    device.wait_until_entitled().unwrap();

    let disk = device.copy_disk(&rig.directory().path().join("disk")).unwrap();
    device.stop().unwrap();
    let secret = OldKeys::read(&disk).unwrap().unseal(&device.tpm.tcti()).unwrap();
    let bus = device.recording().unwrap().bytes();
    assert_recorded(&bus);
    assert!(!contains(&bus, &secret), "the vault's key crossed the bus in the clear");
    // An accidental half would be as bad.
    assert!(!contains(&bus, &secret[..16]) && !contains(&bus, &secret[16..]));
}

/// The tap saw the vault being opened, and the TPM refusing: or its silence would prove nothing.
fn assert_recorded(bus: &[u8]) {
    let unseal = [0, 0, 1, 0x5e];
    assert!(count(bus, &unseal) >= 2, "TPM2_Unseal was seen {} times", count(bus, &unseal));
    // TPM_RC_POLICY, from PolicyCounterTimer after the deadline.
    let refusal = [0, 0, 1, 0x26];
    assert!(contains(bus, &refusal), "no refusal was seen");
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    count(bytes, part) > 0
}

fn count(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).filter(|window| *window == part).count()
}
