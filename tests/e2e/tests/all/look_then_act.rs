//! What an operator has looked at is what they act on: a device that has shown something else meanwhile is not
//! accepted, learnt from, approved ahead, settled or resumed for it.

use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, boot_log};
use serde_json::Value;

use crate::lease::wait_until_contraindicated;
use crate::support::judged_anew;

#[test]
fn a_state_is_not_accepted_once_the_device_has_reported_another() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    boot(&mut device, "x86-cmdline-changed");
    let looked_at = rig.control_plane.reported_state(&id).unwrap();
    assert_eq!(rig.control_plane.show(&id).unwrap()["reported_state"]["accepted"], false);
    // Between the look and the command, the device boots something else.
    device.stop().unwrap();
    device.tpm.reset_into(&boot_log("x86-cmdline-changed")).unwrap();
    device.tpm.extend(12, &[1; 32]).unwrap();
    device.start().unwrap();
    wait_until_contraindicated(&device);
    wait_for_another_state(&rig, &id, &looked_at);

    let refused = refusal(&rig, &["accept", &id, "--state", &looked_at]);
    assert!(refused.contains("since reported another boot state"), "{refused}");
    assert_eq!(rig.control_plane.show(&id).unwrap()["boot_states"], 1);
    let unnamed = rig.control_plane.operator(&["accept", &id]);
    assert!(unnamed.is_err(), "accepted without a look");

    let now = rig.control_plane.reported_state(&id).unwrap();
    let accepted = rig.control_plane.operator(&["accept", &id, "--state", &now]).unwrap();
    assert_eq!((&accepted["state"], &accepted["new"]), (&Value::from(now), &Value::from(true)));
}

#[test]
fn a_policy_is_not_learnt_from_a_state_that_nobody_looked_at() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let looked_at = rig.control_plane.operator(&["policy", "learn", &id]).unwrap();
    let looked_at = looked_at["state"].as_str().unwrap().to_owned();
    boot(&mut device, "x86-cmdline-changed");
    wait_for_another_state(&rig, &id, &looked_at);

    let file = rig.control_plane.policy_file(&id).unwrap();
    let learn = ["policy", "learn", &id, "--output", file.to_str().unwrap()];
    assert!(rig.control_plane.operator(&learn).is_err(), "written without a look");
    let refused = refusal(&rig, &[&learn[..], &["--state", &looked_at]].concat());
    assert!(refused.contains("since reported another boot state"), "{refused}");
    assert!(!file.exists());
    let now = rig.control_plane.reported_state(&id).unwrap();
    rig.control_plane.operator(&[&learn[..], &["--state", &now]].concat()).unwrap();
    assert!(std::fs::read_to_string(&file).unwrap().contains(&now));
}

#[test]
fn an_update_is_not_approved_ahead_on_a_state_that_nobody_looked_at() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let pcr = format!("4={}", "44".repeat(32));
    let ahead = ["pre-approve", &id, "--name", "6.2", "--pcr", &pcr];
    let looked_at = rig.control_plane.operator(&[&ahead[..], &["--dry-run"]].concat()).unwrap();
    let looked_at = looked_at["state"].as_str().unwrap().to_owned();
    boot(&mut device, "x86-cmdline-changed");
    wait_for_another_state(&rig, &id, &looked_at);
    rig.control_plane.accept(&id).unwrap();
    judged_anew(&rig, &device);

    assert!(rig.control_plane.operator(&ahead).is_err(), "approved without a look");
    let refused = refusal(&rig, &[&ahead[..], &["--state", &looked_at]].concat());
    assert!(refused.contains("since reported another boot state"), "{refused}");
    assert_eq!(rig.control_plane.show(&id).unwrap()["ahead"], Value::Array(Vec::new()));
    let now = rig.control_plane.reported_state(&id).unwrap();
    rig.control_plane.operator(&[&ahead[..], &["--state", &now]].concat()).unwrap();
}

#[test]
fn an_incident_that_nobody_looked_at_is_not_settled() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let open = || rig.control_plane.show(&id).unwrap()["open_incidents"].clone();
    pair_with_a_new_disk(&mut device);
    let looked_at = open().as_str().unwrap().to_owned();
    pair_with_a_new_disk(&mut device);

    let refused = refusal(&rig, &["settle", &id, "--incidents", &looked_at, "--reason", "a new SSD"]);
    assert!(refused.contains("the open incidents have changed"), "{refused}");
    let now = open().as_str().expect("the incident is still open").to_owned();
    assert!(
        rig.control_plane.operator(&["settle", &id, "--reason", "a new SSD"]).is_err(),
        "settled without a look"
    );
    let settled =
        rig.control_plane.operator(&["settle", &id, "--incidents", &now, "--reason", "a new SSD"]).unwrap();
    assert_eq!(settled["settled"], 1);
    assert_eq!(open(), Value::Null);
}

/// One operator resumes a device after maintenance, while another one has just suspended it because it was stolen.
#[test]
fn a_suspension_that_nobody_looked_at_is_not_ended() {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let resume =
        |suspension: u64| ["resume", &id, "--suspension", &suspension.to_string()].map(str::to_owned);
    rig.control_plane.suspend(&id, "maintenance").unwrap();
    let looked_at = rig.control_plane.show(&id).unwrap()["suspension"].as_u64().unwrap();
    rig.control_plane.suspend(&id, "stolen").unwrap();

    let refused = refusal(&rig, &resume(looked_at).each_ref().map(String::as_str));
    assert!(refused.contains("stolen") && refused.contains("name that one"), "{refused}");
    assert!(rig.control_plane.operator(&["resume", &id]).is_err(), "resumed without a look");
    let shown = rig.control_plane.show(&id).unwrap();
    assert_eq!((&shown["standing"], &shown["standing_reason"]), (&"suspended".into(), &"stolen".into()));

    let now = resume(shown["suspension"].as_u64().unwrap());
    let now = now.each_ref().map(String::as_str);
    let resumed = rig.control_plane.operator(&now).unwrap();
    assert_eq!(resumed["standing"], "active");
    device.wait_until_entitled().unwrap();
    let refused = refusal(&rig, &now);
    assert!(refused.contains("not suspended"), "{refused}");
}

fn pair_with_a_new_disk(device: &mut Device) {
    device.stop().unwrap();
    device.new_disk().unwrap();
    device.start().unwrap();
    device.pair().unwrap();
    device.wait_until_entitled().unwrap();
}

/// Has the device boot this, which nobody has accepted, and report it.
fn boot(device: &mut Device, log: &str) {
    device.stop().unwrap();
    device.tpm.reset_into(&boot_log(log)).unwrap();
    device.start().unwrap();
    wait_until_contraindicated(device);
}

fn wait_for_another_state(rig: &Rig, id: &str, than: &str) {
    pawl_e2e::rig::wait::until("another state is reported", pawl_e2e::rig::wait::SOON, || {
        anyhow::ensure!(rig.control_plane.reported_state(id)? != than, "still the same");
        Ok(())
    })
    .unwrap();
}

/// Why a command is refused.
fn refusal(rig: &Rig, command: &[&str]) -> String {
    format!("{:#}", rig.control_plane.operator(command).unwrap_err())
}
