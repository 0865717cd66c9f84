//! A broker that fails in every way: no report and no receipt is lost.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, wait};
use pawl_proto::message::DeviceState;

use crate::revocation::verified_receipt;

#[test]
fn a_device_reports_again_after_the_broker_was_restarted() {
    let mut rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    wait_for_connection(&device, true);
    rig.broker.stop().unwrap();
    wait_for_connection(&device, false);
    rig.broker.resume().unwrap();
    assert_reports(&rig, &device);
}

#[test]
fn a_report_that_met_no_broker_arrives_later() {
    let mut rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    wait_for_connection(&device, true);
    let ordered = || device.log().unwrap().matches("the control plane orders a report").count();
    let (before, made, orders) = (reports(&rig, &id), reports_made(&device), ordered());
    // The device begins a report only while it is connected. The TPM holds up this one, which the order began, until the
    // broker is gone.
    device.tpm.freeze().unwrap();
    rig.control_plane.refresh(&id).unwrap();
    wait::until("the report waits for the TPM", wait::SOON, || {
        anyhow::ensure!(ordered() > orders, "the order has not come");
        anyhow::ensure!(device.tpm.has_unread_command()?, "the TPM has no command");
        Ok(())
    })
    .unwrap();
    rig.broker.kill().unwrap();
    device.tpm.thaw().unwrap();
    wait_for_connection(&device, false);
    wait::until("the report is made", wait::SOON, || {
        anyhow::ensure!(reports_made(&device) > made, "{made} were made");
        Ok(())
    })
    .unwrap();
    assert!(!device.status().unwrap().broker.connected, "the report met a broker");
    rig.broker.resume().unwrap();
    wait_for_reports(&rig, &id, before + 1);
}

/// How many reports the daemon has made since its start, by its log.
fn reports_made(device: &Device) -> usize {
    let log = device.log().unwrap();
    log.lines().filter(|line| line.contains("evidence=") && line.contains(" bytes=")).count()
}

#[test]
fn a_broker_that_lost_its_sessions_gets_them_again() {
    let mut rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    wait_for_connection(&device, true);
    rig.broker.stop().unwrap();
    rig.broker.forget().unwrap();
    rig.broker.resume().unwrap();
    assert_reports(&rig, &device);
}

#[test]
fn a_revocation_that_the_broker_forgot_is_carried_out() {
    let mut rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let epoch = device.status().unwrap().counter.unwrap().0;
    rig.broker.stop().unwrap();
    let ordered = rig.control_plane.revoke(&id, "while the broker was away").unwrap();
    assert_eq!(ordered["delivery"], "stored");
    rig.broker.forget().unwrap();
    rig.broker.resume().unwrap();
    device.wait_for(DeviceState::Revoked).unwrap();
    verified_receipt(&rig, &id, epoch);
}

#[test]
fn a_receipt_waits_for_somebody_to_take_it() {
    let mut rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    // Neither the broker nor HTTPS.
    rig.broker.stop().unwrap();
    rig.control_plane.kill().unwrap();
    let wiped = device.wipe("nobody listens").unwrap();
    assert!(device.status().unwrap().receipt_waiting);
    // Nor does the daemon's memory help.
    device.kill().unwrap();
    device.start().unwrap();
    assert!(device.status().unwrap().receipt_waiting);

    rig.broker.forget().unwrap();
    rig.broker.resume().unwrap();
    rig.control_plane.start().unwrap();
    verified_receipt(&rig, &id, wiped.ended.0);
    device.wait_until("the receipt was taken", |status| !status.receipt_waiting).unwrap();
}

#[test]
fn a_control_plane_that_was_killed_goes_on() {
    let mut rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let epoch = device.status().unwrap().counter.unwrap().0;
    rig.control_plane.kill().unwrap();
    rig.control_plane.start().unwrap();
    assert_reports(&rig, &device);
    rig.control_plane.revoke(&id, "after a crash").unwrap();
    device.wait_for(DeviceState::Revoked).unwrap();
    verified_receipt(&rig, &id, epoch);
}

#[test]
fn reconnects_back_off() {
    let mut rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    wait_for_connection(&device, true);
    rig.broker.stop().unwrap();
    // A broker that hangs up at once, as one does that is out of memory.
    let listener = TcpListener::bind(("127.0.0.1", rig.broker.port())).unwrap();
    let start = Instant::now();
    let attempts: Vec<_> = listener.incoming().take(5).map(|_| start.elapsed()).collect();
    let pauses: Vec<Duration> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();

    // Each pause is drawn from a range that doubles, so that their sum tells a back-off from a
    // loop: the shortest that four draws can be is far above what a loop needs.
    let total: Duration = pauses.iter().sum();
    assert!(total > Duration::from_millis(200), "five attempts within {total:?}: {pauses:?}");
    drop(listener);
    device.stop().unwrap();
}

fn assert_reports(rig: &Rig, device: &Device) {
    let id = device.status().unwrap().device.to_string();
    let before = reports(rig, &id);
    rig.control_plane.refresh(&id).unwrap();
    wait_for_reports(rig, &id, before + 1);
    wait_for_connection(device, true);
}

fn reports(rig: &Rig, device: &str) -> u64 {
    rig.control_plane.show(device).unwrap()["last_report"]["reports"].as_u64().unwrap()
}

fn wait_for_reports(rig: &Rig, device: &str, wanted: u64) {
    wait::until("the control plane has the report", wait::SOON, || {
        let reports = reports(rig, device);
        anyhow::ensure!(reports >= wanted, "{reports} reports, {wanted} are due");
        Ok(())
    })
    .unwrap();
}

fn wait_for_connection(device: &Device, wanted: bool) {
    let what = if wanted { "it is connected to the broker" } else { "it has lost the broker" };
    device.wait_until(what, |status| status.broker.connected == wanted).unwrap();
}
