//! Clones and rollbacks: each is distinguished, in the verdict and to the operator, with what to do.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, Swtpm, wait};
use pawl_proto::message::{DeviceState, TrustTier};
use serde_json::Value;

use crate::lease::wait_until_contraindicated;
use crate::support::{judged, judged_anew};

#[test]
fn one_identity_in_two_places_is_reported_and_gets_no_lease() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let mut copy = copy_of(&rig, &mut device);
    device.start().unwrap();
    judged_anew(&rig, &device);
    copy.start().unwrap();
    wait::until("both are seen", wait::SOON * 2, || {
        // Both learn it, by turns: the broker lets one of them in at a time.
        rig.control_plane.refresh(&id)?;
        let incident = incident(&rig, &id, "two-places")?;
        ensure!(incident["to_do"].as_str().is_some_and(|what| what.contains("revoke")), "{incident:#}");
        let verdict = rig.control_plane.show(&id)?["verdict"].clone();
        ensure!(verdict["result"] == "contraindicated", "{verdict:#}");
        ensure!(
            verdict["reasons"][0].as_str().is_some_and(|why| why.contains("two machines")),
            "{verdict:#}"
        );
        Ok(())
    })
    .unwrap();
    // One of them was put back, as it looked at first.
    assert!(open_kinds(&rig, &id).iter().all(|kind| kind == "two-places"));

    copy.stop().unwrap();
    rig.control_plane.revoke(&id, "it was copied").unwrap();
    device.wait_for(DeviceState::Revoked).unwrap();
    device.re_pair("it belongs here").unwrap();
    device.wait_until_entitled().unwrap();
    assert_eq!(open_kinds(&rig, &id), Vec::<String>::new());
}

#[test]
fn a_tpm_that_was_set_back_is_reported() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let snapshot = rig.directory().path().join("snapshot");
    device.stop().unwrap();
    device.tpm.copy_state(&snapshot).unwrap();
    device.tpm.reset().unwrap();
    device.start().unwrap();
    judged_anew(&rig, &device);

    device.stop().unwrap();
    device.tpm.restore_state(&snapshot).unwrap();
    device.start().unwrap();
    let told = wait_until_contraindicated(&device).verdict.unwrap();
    assert!(told.reasons[0].as_str().contains("went back in time"), "{:?}", told.reasons);
    let incident = incident(&rig, &id, "set-back").unwrap();
    assert!(incident["to_do"].as_str().unwrap().contains("repair"), "{incident:#}");
    assert_eq!(open_kinds(&rig, &id), ["set-back"]);

    // Which is what helps.
    rig.control_plane.repair(&id, "a snapshot was put back").unwrap();
    device
        .wait_until("it is paired anew", |status| {
            status.state == DeviceState::Entitled && status.lease.as_ref().is_some_and(|lease| lease.accepted)
        })
        .unwrap();
    assert_eq!(open_kinds(&rig, &id), Vec::<String>::new());
}

/// resetCount proves nothing then: an attacker who sets a TPM back can reset it any number of times.
#[test]
fn a_tpm_that_was_set_back_is_reported_after_any_number_of_resets() {
    const DAY: Duration = Duration::from_secs(86_400);

    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let snapshot = rig.directory().path().join("snapshot");
    device.stop().unwrap();
    device.tpm.copy_state(&snapshot).unwrap();
    device.tpm.advance_clock(DAY).unwrap();
    device.start().unwrap();
    judged_anew(&rig, &device);
    device.wait_until_entitled().unwrap();
    let before = rig.control_plane.show(&id).unwrap()["highest"].clone();

    device.stop().unwrap();
    device.tpm.restore_state(&snapshot).unwrap();
    for _ in 0..5 {
        device.tpm.reset().unwrap();
    }
    device.start().unwrap();
    let status = wait_until_contraindicated(&device);
    assert!(status.lease.is_none_or(|lease| !lease.accepted), "the lease from before it is accepted");
    let told = status.verdict.unwrap();
    let reason = told.reasons[0].as_str();
    assert!(reason.contains("went back in time") && reason.contains("order a repair"), "{reason}");
    let incident = incident(&rig, &id, "set-back").unwrap();
    let detail = incident["detail"].as_str().unwrap();
    let resets = |text: &str| -> Vec<u64> {
        text.split("reset ").skip(1).map(|rest| rest.split(',').next().unwrap().parse().unwrap()).collect()
    };
    let [seen, now] = resets(detail)[..] else { panic!("{detail}") };
    assert_eq!(Some(seen), before["reset_count"].as_u64(), "{detail}");
    assert!(now > seen, "it was not reset past what was seen: {detail}");

    rig.control_plane.repair(&id, "a snapshot was put back").unwrap();
    device
        .wait_until("it is paired anew", |status| {
            status.state == DeviceState::Entitled && status.lease.as_ref().is_some_and(|lease| lease.accepted)
        })
        .unwrap();
    assert_eq!(open_kinds(&rig, &id), Vec::<String>::new());
}

#[test]
fn a_disk_in_another_machine_is_reported_on_both() {
    let rig = Rig::for_test().unwrap();
    let [mut here, mut there] =
        ["pump-7", "pump-8"].map(|name| rig.paired_device(name, DeviceOptions::default()).unwrap());
    let [id, other] = [&here, &there].map(|device| device.status().unwrap().device.to_string());
    here.stop().unwrap();
    let disk = here.copy_disk(&rig.directory().path().join("disk")).unwrap();
    here.start().unwrap();
    there.stop().unwrap();
    there.restore_disk(&disk).unwrap();
    there.start().unwrap();
    there.re_pair("found without a pairing").unwrap();
    there.wait_until_entitled().unwrap();

    let told = there.status().unwrap().verdict.unwrap();
    let reason = told.reasons.iter().find(|reason| reason.as_str().contains("disk of device")).unwrap();
    assert!(reason.as_str().contains(&id) && reason.as_str().contains("--replaces"), "{reason}");
    assert_eq!(incident(&rig, &other, "disk-of-another").unwrap()["other"], id.as_str());
    let told = judged(&rig, &here, TrustTier::Warning).verdict.unwrap();
    assert!(told.reasons[0].as_str().contains(&other), "{:?}", told.reasons);
    assert_eq!(incident(&rig, &id, "disk-elsewhere").unwrap()["other"], other.as_str());

    let seen = rig.control_plane.show(&id).unwrap()["open_incidents"].as_str().unwrap().to_owned();
    let settled = rig
        .control_plane
        .operator(&["settle", &id, "--incidents", &seen, "--reason", "it was moved back"])
        .unwrap();
    assert_eq!(settled["settled"], 1);
    let told = judged_anew(&rig, &here).verdict.unwrap();
    assert!(!told.reasons.iter().any(|reason| reason.as_str().contains("disk")), "{:?}", told.reasons);
}

#[test]
fn a_reimaged_disk_is_reported() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    device.stop().unwrap();
    device.new_disk().unwrap();
    device.start().unwrap();
    device.pair().unwrap();
    let told = device.wait_until_entitled().unwrap().verdict.unwrap();
    assert!(told.reasons[0].as_str().contains("disk of this device was new"), "{:?}", told.reasons);
    assert_eq!(open_kinds(&rig, &id), ["reimaged"]);
    assert!(incident(&rig, &id, "reimaged").unwrap()["to_do"].is_string());
}

#[test]
fn restarts_and_power_cuts_leave_nothing() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let events: [fn(&mut Device) -> Result<()>; 4] = [
        |device| device.stop(),
        Device::kill,
        |device| device.stop().and_then(|()| device.tpm.reset()),
        |device| device.kill().and_then(|()| device.tpm.cut_power()),
    ];
    for event in events {
        event(&mut device).unwrap();
        device.start().unwrap();
        device.wait_until_entitled().unwrap();
        judged_anew(&rig, &device);
        device.wait_until_entitled().unwrap();
    }
    assert_eq!(rig.control_plane.show(&id).unwrap()["incidents"], serde_json::json!([]));
}

/// Another machine with a copy of the device's TPM and of its disk. The device is stopped.
fn copy_of(rig: &Rig, device: &mut Device) -> Device {
    device.stop().unwrap();
    let at = |name: &str| rig.directory().path().join(name);
    let disk = device.copy_disk(&at("copied-disk")).unwrap();
    let state = at("copied-tpm");
    device.tpm.copy_state(&state).unwrap();
    let boot_log = device.tpm.boot_log().map(Path::to_owned);
    let tpm = Swtpm::start(rig.directory(), "copy", state, boot_log.clone()).unwrap();
    let options = DeviceOptions { boot_log, ..DeviceOptions::default() };
    let mut copy = Device::install(rig.directory(), "copy", tpm, &rig.control_plane, options).unwrap();
    copy.restore_disk(&disk).unwrap();
    copy
}

fn open_incidents(rig: &Rig, device: &str) -> Result<Vec<Value>> {
    let shown = rig.control_plane.show(device)?;
    let all = shown["incidents"].as_array().cloned().unwrap_or_default();
    Ok(all.into_iter().filter(|incident| incident["settled_at"].is_null()).collect())
}

fn open_kinds(rig: &Rig, device: &str) -> Vec<String> {
    let open = open_incidents(rig, device).unwrap();
    open.iter().map(|incident| incident["kind"].as_str().unwrap().to_owned()).collect()
}

/// The open incident of this kind.
fn incident(rig: &Rig, device: &str, kind: &str) -> Result<Value> {
    let open = open_incidents(rig, device)?;
    let found = open.iter().find(|incident| incident["kind"] == kind).cloned();
    found.ok_or_else(|| anyhow::anyhow!("no {kind} among {open:#?}"))
}
