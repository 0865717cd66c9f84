//! A control plane that lost something, and how its fleet recovers: the procedures of `docs/recovery.md`.

use std::fs;
use std::path::Path;
use std::process::Command;

use pawl_e2e::Rig;
use pawl_e2e::rig::{Broker, Device, DeviceOptions, Terms, TokenAnswer};
use pawl_local_api::LocalStatus;

use crate::support::approve_here;

#[test]
fn a_copied_state_directory_serves_the_same_devices() {
    let mut rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let before = device.status().unwrap();
    let copy = rig.directory().path().join("copy");
    rig.control_plane.stop().unwrap();
    copy_all(rig.control_plane.state_dir(), &copy);
    fs::remove_dir_all(rig.control_plane.state_dir()).unwrap();
    copy_all(&copy, rig.control_plane.state_dir());
    rig.control_plane.start().unwrap();

    // Suspending takes the whole way there and back.
    let id = before.device.to_string();
    rig.control_plane.suspend(&id, "is it the same fleet?").unwrap();
    device.wait_until("it is suspended", |status| problem(status) == "suspended").unwrap();
    rig.control_plane.resume(&id).unwrap();
    let after = device.wait_until_entitled().unwrap();
    assert_eq!(after.pairing, before.pairing);
}

#[test]
fn after_the_loss_of_the_database_a_device_is_enrolled_and_paired_again() {
    let mut rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let before = device.status().unwrap();
    rig.control_plane.stop().unwrap();
    remove_database(rig.control_plane.state_dir());
    let refused = rig.control_plane.command(&["serve"]).unwrap().output().unwrap();
    assert_eq!(refused.status.code(), Some(78));
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("the database is missing or empty"), "{why}");
    rig.control_plane.operator(&["init", "--accept-empty-database"]).unwrap();
    rig.control_plane.start().unwrap();
    assert_eq!(rig.control_plane.operator(&["devices"]).unwrap().as_array().unwrap().len(), 0);
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)), "the lease goes on");

    // For this control plane it is the first pairing, for which the policy requires no approver.
    rig.control_plane.enrol(&before.ek_sha256, "pump 7").unwrap();
    device.re_pair("the database was lost").unwrap();
    let after = paired_anew(&device, &before);
    assert!(after.counter > before.counter);
    // No database knows the pairing that this receipt is about.
    device.wait_until("the receipt is kept", |status| status.receipt_waiting).unwrap();
}

#[test]
fn after_an_older_database_was_put_back_a_device_is_paired_again() {
    let mut rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let alice = rig.approver("alice").unwrap();
    let before = device.status().unwrap();
    let id = before.device.to_string();
    let copy = rig.directory().path().join("copy");
    rig.control_plane.stop().unwrap();
    copy_all(rig.control_plane.state_dir(), &copy);
    rig.control_plane.start().unwrap();
    rig.control_plane.suspend(&id, "stolen").unwrap();
    device.wait_until("it is suspended", |status| problem(status) == "suspended").unwrap();

    rig.control_plane.stop().unwrap();
    fs::remove_dir_all(rig.control_plane.state_dir()).unwrap();
    copy_all(&copy, rig.control_plane.state_dir());
    rig.control_plane.start().unwrap();
    // What was decided since the copy is forgotten here; the device has kept the newer verdict.
    assert_eq!(rig.control_plane.show(&id).unwrap()["standing"], "active");
    assert_eq!(problem(&device.status().unwrap()), "suspended");

    device.re_pair("the database is older").unwrap();
    let after = approve_here(&device, &alice);
    assert!(after.counter > before.counter);
}

#[test]
fn after_the_loss_of_all_keys_a_device_is_given_the_new_authority_and_paired_again() {
    let mut rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let before = device.status().unwrap();
    rig.control_plane.stop().unwrap();
    rig.broker.stop().unwrap();
    let state_dir = rig.control_plane.state_dir().to_owned();
    fs::remove_dir_all(&state_dir).unwrap();
    rig.control_plane.operator(&["init"]).unwrap();
    rig.broker = Broker::start(rig.directory(), &state_dir, rig.broker.port()).unwrap();
    rig.control_plane.start().unwrap();

    // Its `ca` is the file that was made anew; it is read at the start.
    device.stop().unwrap();
    device.start().unwrap();
    rig.control_plane.enrol(&before.ek_sha256, "pump 7").unwrap();
    device.re_pair("the keys were lost").unwrap();
    let after = paired_anew(&device, &before);
    assert!(after.counter > before.counter);
}

#[test]
fn certificates_of_servers_that_are_removed_are_made_again_by_the_same_authority() {
    let mut rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let before = device.status().unwrap();
    let state_dir = rig.control_plane.state_dir().to_owned();
    let files = ["https.pem", "broker/server.pem"].map(|name| state_dir.join(name));
    let read = || files.each_ref().map(|file| fs::read_to_string(file).unwrap());
    let (old, authority) = (read(), fs::read(state_dir.join("ca.pem")).unwrap());
    rig.control_plane.stop().unwrap();
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
    let config = fs::read_to_string(rig.control_plane.config()).unwrap();
    let named = config.replace("host_names = [", "host_names = [\"moved.example\", ");
    assert_ne!(named, config);
    fs::write(rig.control_plane.config(), named).unwrap();
    rig.control_plane.start().unwrap();

    let new = read();
    assert!(old.iter().zip(&new).all(|(old, new)| old != new));
    assert_eq!(fs::read(state_dir.join("ca.pem")).unwrap(), authority);
    // The device trusts them: a pairing goes over HTTPS.
    device.re_pair("does it trust the new certificate?").unwrap();
    paired_anew(&device, &before);
}

#[test]
fn no_certificate_of_the_servers_expires() {
    let rig = Rig::for_test().unwrap();
    for name in ["ca.pem", "https.pem", "mqtt.pem", "audit.pem", "broker/server.pem"] {
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-noout", "-dates", "-in"]).arg(rig.control_plane.state_dir().join(name));
        let shown = String::from_utf8(openssl.output().unwrap().stdout).unwrap();
        let expected = "notBefore=Jan  1 00:00:00 1975 GMT\nnotAfter=Dec 31 00:00:00 9999 GMT\n";
        assert_eq!(shown, expected, "{name}");
    }
}

fn problem(status: &LocalStatus) -> &str {
    status.problem.as_ref().map_or("", |problem| problem.error.as_str())
}

fn paired_anew(device: &Device, before: &LocalStatus) -> LocalStatus {
    let id = |status: &LocalStatus| status.pairing.as_ref().map(|pairing| pairing.id);
    device.wait_until("it is paired anew", |status| id(status) != id(before)).unwrap();
    device.wait_until_entitled().unwrap()
}

fn remove_database(state_dir: &Path) {
    let database = |name: &str| name.contains(".sqlite") || name.contains(".db");
    let mut removed = 0;
    for entry in fs::read_dir(state_dir).unwrap() {
        let entry = entry.unwrap();
        if database(&entry.file_name().into_string().unwrap()) {
            fs::remove_file(entry.path()).unwrap();
            removed += 1;
        }
    }
    assert!(removed > 0, "there is no database in {}", state_dir.display());
}

/// Copies a directory as an operator does, with modes and owners.
fn copy_all(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}
