//! Policies: rules on the events of a boot instead of the exact values of its PCRs.

use std::collections::BTreeSet;
use std::fs;

use anyhow::ensure;
use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, boot_log, wait};
use pawl_proto::message::{Area, DeviceState, TrustTier};
use serde_json::{Value, json};

use crate::support::{judged, refusal};

#[test]
fn a_learnt_policy_affirms_its_boot_and_names_the_rule_that_another_breaks() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let learnt = rig.control_plane.learn_policy(&id).unwrap();
    rig.control_plane.set_policy(&id, &learnt).unwrap();

    let verdict = judged(&rig, &device, TrustTier::Affirming).verdict.unwrap();
    let areas = [Area::Hardware, Area::Firmware, Area::Boot, Area::Freshness];
    assert_eq!(verdict.areas, areas.map(|area| (area, TrustTier::Affirming)).into());
    let in_force = explain(&rig, &id)["policy"]["sha256"].clone();
    assert!(in_force.is_string());
    assert_eq!(rig.control_plane.show(&id).unwrap()["verdict"]["policy"], in_force);
    let records = rig.control_plane.records(&id).unwrap();
    let judged_by = records.iter().rev().find(|record| record["kind"] == "verdict").unwrap();
    assert_eq!(judged_by["detail"]["policy"], in_force);

    boot(&mut device, "x86-cmdline-changed");
    let verdict = wait_until_refused(&device);
    assert_eq!(verdict.areas[&Area::Boot], TrustTier::Contraindicated);
    assert_eq!(verdict.areas[&Area::Firmware], TrustTier::Affirming);
    let reasons = format!("{:?}", verdict.reasons);
    assert!(reasons.contains("boot (boot.images, line 29): not in the list: sha256"), "{reasons}");
    assert_eq!(refusal(&device), "drifted");
    let broken = broken(&explain(&rig, &id));
    assert_eq!(broken, [("boot.command-lines".to_owned(), 39), ("boot.images".to_owned(), 29)].into());

    boot(&mut device, "x86-good");
    device.wait_until_entitled().unwrap();
    judged(&rig, &device, TrustTier::Affirming);
}

#[test]
fn an_explanation_shows_the_line_of_the_log_and_what_to_do() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    rig.control_plane.set_policy("default", &rig.control_plane.learn_policy(&id).unwrap()).unwrap();
    boot(&mut device, "x86-initrd-changed");
    wait_until_refused(&device);

    let printed = rig.control_plane.command(&["policy", "explain", &id]).unwrap().output().unwrap();
    let text = String::from_utf8(printed.stdout).unwrap();
    for expected in [
        "result        contraindicated",
        "  boot        contraindicated",
        "  rule: boot.initrds (boot)",
        "  boot event log: line 40, PCR 9: the initrd",
        "add its digest to the list, or accept this boot",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
}

#[test]
fn an_update_that_the_policy_allows_works_after_one_report() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let before = device.status().unwrap();
    let id = before.device.to_string();
    let present = rig.control_plane.learn_policy(&id).unwrap();
    rig.control_plane.set_policy(&id, &present).unwrap();
    boot(&mut device, "x86-cmdline-changed");
    wait_until_refused(&device);

    // What is refused can be learnt from all the same.
    let update = rig.control_plane.learn_policy(&id).unwrap();
    assert_ne!(present, update);
    rig.control_plane.set_policy(&id, &update).unwrap();
    rig.control_plane.refresh(&id).unwrap();
    let after = device.wait_until_entitled().unwrap();
    assert_eq!((after.counter, after.pairing), (before.counter, before.pairing), "nothing is made anew");
}

#[test]
fn an_accepted_state_explains_a_boot_and_not_a_requirement() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let learnt = rig.control_plane.learn_policy(&id).unwrap();
    rig.control_plane.set_policy(&id, &learnt).unwrap();
    boot(&mut device, "x86-cmdline-changed");
    wait_until_refused(&device);
    rig.control_plane.accept(&id).unwrap();
    device.wait_until_entitled().unwrap();

    let strict = learnt.replace(
        "[secure-boot]\n# Secure Boot must be on (PCR 7).\nrequired = false",
        "[secure-boot]\nrequired = true",
    );
    assert_ne!(strict, learnt);
    rig.control_plane.set_policy(&id, &strict).unwrap();
    rig.control_plane.refresh(&id).unwrap();
    wait_until_refused(&device);
    assert_eq!(broken(&explain(&rig, &id)), [("secure-boot.required".to_owned(), 4)].into());
}

#[test]
fn a_first_pairing_is_judged_by_the_policy() {
    let rig = Rig::for_test().unwrap();
    rig.control_plane.set_policy("default", "").unwrap();
    let mut device = rig.device("device", DeviceOptions::default()).unwrap();
    device.start().unwrap();
    let status = device.status().unwrap();
    let id = status.device.to_string();
    rig.control_plane.enrol(&status.ek_sha256, "device").unwrap();
    device.pair().unwrap();
    let status = device
        .wait_until("the pairing is refused", |status| {
            status.session.as_ref().is_some_and(|session| session.problem.is_some())
        })
        .unwrap();
    let problem = status.session.unwrap().problem.unwrap();
    assert!(problem.reason.contains("secure-boot.required"), "{problem:?}");

    rig.control_plane.set_policy("default", &rig.control_plane.learn_policy(&id).unwrap()).unwrap();
    device.pair().unwrap();
    let status = device.wait_until_entitled().unwrap();
    assert_eq!(status.verdict.unwrap().result, Some(TrustTier::Affirming));
    assert_eq!(rig.control_plane.show(&id).unwrap()["boot_states"], json!(0), "nothing is taken on trust");
}

#[test]
fn a_broken_policy_is_named_and_changes_nothing() {
    let rig = &mut Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let learnt = rig.control_plane.learn_policy(&id).unwrap();
    rig.control_plane.set_policy("default", &learnt).unwrap();
    let in_force = explain(rig, &id)["policy"].clone();
    let broken = format!("{learnt}\n[boot-logs]\nrequired = true\n");
    rig.control_plane.set_policy("default", &broken).unwrap();
    assert_eq!(explain(rig, &id)["policy"], in_force);
    let log = rig.control_plane.log().unwrap();
    let complaint = log.lines().rfind(|line| line.contains("stay in force")).unwrap();
    assert!(complaint.contains("default.toml"), "{complaint}");

    let check = |file: &[&str]| {
        let output =
            rig.control_plane.command(&[&["policy", "check"], file].concat()).unwrap().output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, printed) = check(&[]);
    assert_eq!(code, Some(78), "{printed}");
    assert!(printed.contains("default.toml") && printed.contains("boot-logs"), "{printed}");

    let good = rig.control_plane.policy_file("good").unwrap();
    fs::write(&good, &learnt).unwrap();
    let (code, printed) = check(&[good.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("Secure Boot may be off."), "{printed}");

    // With a broken one it does not start, and says which.
    rig.control_plane.stop().unwrap();
    let serve = rig.control_plane.command(&["serve"]).unwrap().output().unwrap();
    assert_eq!(serve.status.code(), Some(78));
    assert!(String::from_utf8(serve.stderr).unwrap().contains(".toml"));
}

/// Powers the device down and on again into another of the recorded boots.
fn boot(device: &mut Device, boot: &str) {
    device.stop().unwrap();
    device.tpm.reset_into(&boot_log(boot)).unwrap();
    device.start().unwrap();
}

fn wait_until_refused(device: &Device) -> pawl_local_api::VerdictStatus {
    let status = device
        .wait_until("the device is refused", |status| {
            let result = status.verdict.as_ref().and_then(|verdict| verdict.result);
            (status.state, result) == (DeviceState::Lapsed, Some(TrustTier::Contraindicated))
        })
        .unwrap();
    status.verdict.unwrap()
}

/// The explanation, once the control plane has what the device reported.
fn explain(rig: &Rig, id: &str) -> Value {
    wait::until("the device is explained", wait::SOON, || {
        let explained = rig.control_plane.operator(&["policy", "explain", id])?;
        ensure!(explained["result"].is_string(), "{explained}");
        Ok(explained)
    })
    .unwrap()
}

/// The rules that are broken, with the lines of the log that break them.
fn broken(explained: &Value) -> BTreeSet<(String, u64)> {
    let reasons = explained["reasons"].as_array().unwrap().iter();
    let broken = reasons.filter(|reason| reason["result"] == "contraindicated");
    broken
        .map(|reason| {
            assert!(reason["to_do"].is_string() && reason["logged"].is_string(), "{reason}");
            (reason["rule"].as_str().unwrap().to_owned(), reason["event"].as_u64().unwrap())
        })
        .collect()
}
