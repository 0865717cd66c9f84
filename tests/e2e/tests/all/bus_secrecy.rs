//! The bus between the daemon and its TPM carries no secret in the clear.

use pawl_e2e::Rig;
use pawl_e2e::rig::{DeviceOptions, Interposer, OldKeys, Terms};
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

/// The salt of a session is encrypted to the key that the TPM names. Somebody on the bus who names a key of their own
/// would know the salt, and with it read the vault's key.
#[test]
fn a_storage_key_that_is_replaced_on_the_bus_is_refused() {
    let rig = Rig::for_test().unwrap();
    let options = DeviceOptions { record: true, ..DeviceOptions::default() };
    let mut device = rig.paired_device("device", options).unwrap();
    device.stop().unwrap();
    let bus = device.recording().unwrap();
    bus.interpose(Some(Interposer::OwnStorageKey));
    let before = bus.bytes().len();
    device.start().unwrap();
    let status = device
        .wait_until("it refuses the key", |status| {
            status.problem.as_ref().is_some_and(|problem| problem.reason.contains("storage root key"))
        })
        .unwrap();
    assert_eq!(status.state, DeviceState::Lapsed);
    let problem = status.problem.unwrap();
    assert!(problem.reason.contains("replaces keys"), "{problem:?}");
    let bus = device.recording().unwrap();
    assert_eq!(salted_sessions(&bus.bytes()[before..]), 0, "a salt was encrypted to the replaced key");

    bus.interpose(None);
    device.stop().unwrap();
    device.start().unwrap();
    device.wait_until_entitled().unwrap();
}

#[test]
fn an_endorsement_key_that_is_replaced_on_the_bus_is_refused() {
    let rig = Rig::for_test().unwrap();
    let options = DeviceOptions { record: true, endorsement: "ecc-p256", ..DeviceOptions::default() };
    let mut device = rig.device("device", options).unwrap();
    device.start().unwrap();
    // The factory certifies no such key.
    rig.control_plane.enrol_without_certificate(&device.status().unwrap().ek_sha256).unwrap();
    let bus = device.recording().unwrap();
    bus.interpose(Some(Interposer::OwnEndorsementKey));
    let before = bus.bytes().len();
    device.pair().unwrap();
    let status = device
        .wait_until("it refuses the key", |status| {
            status.problem.as_ref().is_some_and(|problem| problem.reason.contains("endorsement key"))
        })
        .unwrap();
    assert!(status.problem.unwrap().reason.contains("replaces keys"));
    assert_eq!(salted_sessions(&bus.bytes()[before..]), 0, "a salt was encrypted to the replaced key");

    bus.interpose(None);
    device.pair().unwrap();
    device.wait_until_entitled().unwrap();
    assert!(salted_sessions(&bus.bytes()) > 0, "the tap sees no salted session at all");
}

/// `TPM2_StartAuthSession` with a key to which the salt is encrypted.
fn salted_sessions(bus: &[u8]) -> usize {
    const START_AUTH_SESSION: [u8; 4] = [0, 0, 1, 0x76];
    const NO_KEY: [u8; 4] = [0x40, 0, 0, 7];
    let commands =
        bus.windows(14).filter(|window| window[..2] == [0x80, 1] && window[6..10] == START_AUTH_SESSION);
    commands.filter(|command| command[10..] != NO_KEY).count()
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
