//! The kernel's log of what was run: long, sent in pieces, altered, and judged file by file.

use std::fs;
use std::time::Duration;

use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, ImaLogFile, wait};
use pawl_local_api::VerdictStatus;
use pawl_proto::message::{Area, TrustTier};

use crate::support::judged;

/// What a log may cost the daemon, however long it is.
const MEMORY_KIB: u64 = 16 * 1024;
const PIECE: u64 = 64 * 1024;

#[test]
fn a_log_in_pieces_is_followed_to_its_end_and_one_that_was_altered_is_reported() {
    let rig = Rig::for_test().unwrap();
    let (mut device, log) = measured(&rig, 8000);
    follow(&rig, &mut device, &log, wait::SOON);

    device.stop().unwrap();
    let mut altered = fs::read(log.path()).unwrap();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    fs::write(log.path(), altered).unwrap();
    device.start().unwrap();
    let verdict = wait_for(&device, TrustTier::Contraindicated);
    assert!(format!("{:?}", verdict.reasons).contains("IMA log"), "{:?}", verdict.reasons);
}

#[test]
#[ignore = "takes the TPM and the reports several minutes"]
fn a_log_of_50_mb_is_followed_to_its_end() {
    let rig = Rig::for_test().unwrap();
    let (mut device, log) = measured(&rig, 470_000);
    assert!(fs::metadata(log.path()).unwrap().len() >= 50 * 1024 * 1024);
    follow(&rig, &mut device, &log, Duration::from_secs(1200));
}

#[test]
fn a_file_that_no_rule_explains_is_reported_by_its_line() {
    let rig = Rig::for_test().unwrap();
    let (mut device, mut log) = measured(&rig, 1000);
    follow(&rig, &mut device, &log, wait::SOON);
    let id = device.status().unwrap().device.to_string();
    let learnt = rig.control_plane.learn_policy(&id).unwrap();
    let rules = "\n[ima]\nexclusions = [\"/usr/lib/**\"]\n";
    rig.control_plane.set_policy(&id, &(learnt + rules)).unwrap();
    // The log was not looked at under these rules: it is asked for again.
    let verdict = judged(&rig, &device, TrustTier::Affirming).verdict.unwrap();
    assert_eq!(verdict.areas.get(&Area::Runtime), Some(&TrustTier::Affirming));

    device.stop().unwrap();
    log.measure(&device.tpm, [("/tmp/evil".to_owned(), b"#!/bin/sh".to_vec())]).unwrap();
    device.start().unwrap();
    let verdict = wait_for(&device, TrustTier::Contraindicated);
    assert_eq!(verdict.areas[&Area::Runtime], TrustTier::Contraindicated);
    assert_eq!(verdict.areas[&Area::Boot], TrustTier::Affirming);
    let reasons = format!("{:?}", verdict.reasons);
    assert!(reasons.contains("ima.unexplained") && reasons.contains("line 1001"), "{reasons}");
    assert!(reasons.contains("/tmp/evil"), "{reasons}");
}

#[test]
fn what_ran_is_learnt_from_the_log_and_what_is_new_is_reported() {
    let rig = Rig::for_test().unwrap();
    let (mut device, mut log) = measured(&rig, 100);
    follow(&rig, &mut device, &log, wait::SOON);
    let id = device.status().unwrap().device.to_string();
    let learnt = rig.control_plane.policy_file(&id).unwrap();
    let (output, ima) = (learnt.to_str().unwrap(), log.path().to_str().unwrap());
    let state = rig.control_plane.reported_state(&id).unwrap();
    rig.control_plane
        .operator(&["policy", "learn", &id, "--state", &state, "--output", output, "--ima", ima])
        .unwrap();
    let list = fs::read_to_string(learnt.with_extension("digests")).unwrap();
    assert_eq!(list.lines().count(), 100, "{list}");
    assert!(list.contains("  /usr/lib/module_000099.so\n"), "{list}");

    let written = fs::read_to_string(&learnt).unwrap();
    assert!(written.contains("violations = \"refuse\""), "a learnt policy lets violations pass: {written}");
    // Its list of digests is named as a file beside it.
    rig.control_plane.set_policy(&id, &written).unwrap();
    let verdict = judged(&rig, &device, TrustTier::Affirming).verdict.unwrap();
    assert_eq!(verdict.areas.get(&Area::Runtime), Some(&TrustTier::Affirming));

    device.stop().unwrap();
    log.measure(&device.tpm, [("/usr/lib/module_000100.so".to_owned(), b"new".to_vec())]).unwrap();
    device.start().unwrap();
    let verdict = wait_for(&device, TrustTier::Contraindicated);
    let reasons = format!("{:?}", verdict.reasons);
    assert!(reasons.contains("line 101") && reasons.contains("module_000100"), "{reasons}");
}

/// A device whose kernel has measured so many files.
fn measured(rig: &Rig, files: u32) -> (Device, ImaLogFile) {
    let path = rig.directory().create("device").unwrap().join("ima");
    let mut log = ImaLogFile::create(path.clone()).unwrap();
    let options = DeviceOptions { ima_log: Some(path), ..DeviceOptions::default() };
    let device = rig.device("device", options).unwrap();
    let file = |number: u32| (format!("/usr/lib/module_{number:06}.so"), number.to_le_bytes().to_vec());
    log.measure(&device.tpm, (0..files).map(file)).unwrap();
    (device, log)
}

/// Pairs the device, and waits until its log is known to the end.
fn follow(rig: &Rig, device: &mut Device, log: &ImaLogFile, limit: Duration) {
    device.start().unwrap();
    let before = peak_kib(device);
    rig.control_plane.enrol(&device.status().unwrap().ek_sha256, "device").unwrap();
    device.pair().unwrap();
    device.wait_until_entitled().unwrap();
    // Till the last piece, there is something that is not known.
    let known = device.wait_longer_until("the log is known to its end", limit, |status| {
        status.verdict.as_ref().is_some_and(|verdict| verdict.result == Some(TrustTier::Affirming))
    });
    let reports = known.unwrap().verdict.unwrap().reports;
    let pieces = fs::metadata(log.path()).unwrap().len() / PIECE;
    assert!(reports >= pieces, "{reports} reports for {pieces} pieces");
    let cost = peak_kib(device) - before;
    assert!(cost <= MEMORY_KIB, "{cost} KiB");
    println!("{pieces} pieces, {reports} reports, {cost} KiB");
}

fn wait_for(device: &Device, result: TrustTier) -> VerdictStatus {
    let status = device.wait_until(&format!("the verdict is {result}"), |status| {
        status.verdict.as_ref().is_some_and(|verdict| verdict.result == Some(result))
    });
    status.unwrap().verdict.unwrap()
}

/// The most memory that the daemon has had so far (proc_pid_status(5)).
fn peak_kib(device: &Device) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", device.pid().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}
