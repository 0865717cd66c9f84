//! A disk that is full, or does not take a file, when a device is paired.

use std::fs;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::ensure;
use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, TokenAnswer, program, wait};
use pawl_proto::message::DeviceState;

use crate::support::SmallDisk;

#[test]
fn a_full_disk_stops_the_request_and_not_the_approved_pairing() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.device("device", DeviceOptions::default()).unwrap();
    let disk = SmallDisk::under(device.state_dir());
    device.start().unwrap();
    let id = enrol(&rig, &device);

    for pages in 0..8 {
        disk.fill_but(pages);
        device.pair().unwrap();
        let status = device
            .wait_until("the request is refused", |status| {
                status.problem.as_ref().is_some_and(|problem| problem.error == "state-not-kept")
            })
            .unwrap();
        let problem = status.problem.unwrap();
        assert!(problem.reason.contains("256 KiB"), "{pages} pages: {}", problem.reason);
        assert_eq!(status.state, DeviceState::Unpaired);
        let shown = rig.control_plane.show(&id).unwrap();
        assert!(shown["pairing"].is_null(), "with {pages} pages free the control plane has {shown:#}");
        let sessions = rig.control_plane.operator(&["sessions", &id]).unwrap();
        assert_eq!(sessions.as_array().map(Vec::len), Some(0), "no session was opened: {sessions:#}");
        disk.free();
    }

    device.pair().unwrap();
    device.wait_until_entitled().unwrap();
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
    assert!(!device.state_dir().join("reserve").exists(), "the reserve was not given back");
    device.stop().unwrap();
}

#[test]
fn the_control_plane_learns_of_a_granted_pairing_that_the_device_could_not_store() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.device("device", DeviceOptions::default()).unwrap();
    device.start().unwrap();
    let id = enrol(&rig, &device);
    let fault = refuse_the_record(&device);
    device.pair().unwrap();
    fault.join().unwrap();

    device
        .wait_until("the pairing is given back", |status| {
            status.problem.as_ref().is_some_and(|problem| problem.error == "state-not-kept")
        })
        .unwrap();
    wait::until("the control plane has the receipt", wait::SOON, || {
        let shown = rig.control_plane.show(&id)?;
        ensure!(shown["pairing"]["state"] == "ended", "{}", shown["pairing"]);
        ensure!(shown["receipts"][0]["cause"] == "recovery", "{}", shown["receipts"]);
        Ok(())
    })
    .unwrap();

    device.pair().unwrap();
    device.wait_until_entitled().unwrap();
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
}

#[test]
fn where_the_daemon_dies_before_the_receipt_the_next_pairing_ends_the_one_that_could_not_be_stored() {
    for fail_point in
        ["wipe.gate-closed", "wipe.incremented", "wipe.recorded", "wipe.unlinked", "wipe.receipt-stored"]
    {
        let rig = Rig::for_test().unwrap();
        let mut device = rig.device("device", DeviceOptions::default()).unwrap();
        device.start_doomed(fail_point).unwrap();
        wait::until("the daemon answers", wait::SOON, || device.status().map(drop)).unwrap();
        let id = enrol(&rig, &device);
        let fault = refuse_the_record(&device);
        device.pair().unwrap();
        fault.join().unwrap();
        device.wait_for_death().unwrap();
        let pairing = || rig.control_plane.show(&id).unwrap()["pairing"].clone();
        let lost = pairing();
        assert_eq!(lost["state"], "live", "{fail_point}");

        let record = device.state_dir().join("pairing.new/pairing.cbor");
        if record.is_dir() {
            fs::remove_dir_all(record).unwrap();
        }
        device.start().unwrap();
        wait::until("the device is paired", wait::SOON, || {
            let state = device.status()?.state;
            if state == DeviceState::Unpaired || state == DeviceState::Revoked {
                device.pair()?;
            }
            ensure!(state == DeviceState::Entitled, "{fail_point}: {state:?}");
            Ok(())
        })
        .unwrap();
        let now = pairing();
        assert!(now["state"] == "live" && now["id"] != lost["id"], "{fail_point}: {lost:#}, then {now:#}");
    }
}

#[test]
fn a_second_daemon_does_not_touch_a_state_directory_that_is_in_use() {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let mut second = Command::new(program("pawld").unwrap());
    second.arg("--config").arg(device.config()).env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
    let output = second.output().unwrap();
    assert_eq!(output.status.code(), Some(73), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("another pawld uses the state directory"));
    assert_eq!(device.status().unwrap().state, DeviceState::Entitled);
}

/// Has the disk refuse the record of the next pairing, the last file that is staged: a directory stands in its place.
fn refuse_the_record(device: &Device) -> JoinHandle<()> {
    let staging = device.state_dir().join("pairing.new");
    std::thread::spawn(move || {
        let limit = Instant::now() + Duration::from_secs(60);
        while !staging.join("approved.cbor").exists() {
            assert!(Instant::now() < limit, "nothing was approved");
            std::hint::spin_loop();
        }
        fs::create_dir_all(staging.join("pairing.cbor/in-the-way")).unwrap();
    })
}

fn enrol(rig: &Rig, device: &Device) -> String {
    let status = device.status().unwrap();
    rig.control_plane.enrol(&status.ek_sha256, "device").unwrap();
    status.device.to_string()
}
