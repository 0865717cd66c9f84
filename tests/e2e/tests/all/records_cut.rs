//! A device's records that were cut, rewritten or could not be kept, and what is said of it.

use std::fs;

use pawl_e2e::Rig;
use pawl_e2e::rig::{DeviceOptions, TokenAnswer};
use pawl_proto::message::{DeviceState, TrustTier};
use serde_json::Value;

use crate::power_cuts::assert_wiped;
use crate::revocation::verified_receipt;
use crate::support::{Records, SmallDisk, judged, judged_anew, refusal};

#[test]
fn a_log_whose_end_was_cut_off_is_reported() {
    let told = told_after(|records| {
        let newest = records.newest();
        let bytes = fs::read(&newest).unwrap();
        // Not a clean cut, as a power failure might leave it.
        fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    });
    assert_eq!(told[0], "regress");
}

#[test]
fn a_log_that_was_removed_is_reported() {
    let told = told_after(|records| fs::remove_dir_all(records.folder()).unwrap());
    // The new chain's first record is another one than the known, however long either chain is. A report before it shows
    // an empty chain, whose end was cut off.
    let (last, before) = told.split_last().unwrap();
    assert_eq!(last, "fork", "{told:?}");
    assert!(before.is_empty() || before == ["regress"], "{told:?}");
}

#[test]
fn a_record_that_was_rewritten_is_reported() {
    let told = told_after(|records| {
        let newest = records.newest();
        let mut bytes = fs::read(&newest).unwrap();
        let place = bytes.windows(9).position(|word| word == b"telemetry").unwrap();
        bytes[place..place + 9].copy_from_slice(b"harmless1");
        fs::write(&newest, bytes).unwrap();
    });
    assert_eq!(told, ["fork"]);
}

#[test]
fn an_honest_restart_and_a_power_cut_raise_nothing() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    for round in 0..4 {
        if round % 2 == 0 { device.stop() } else { device.kill() }.unwrap();
        device.start().unwrap();
        let status = judged_anew(&rig, &device);
        assert_eq!(status.verdict.unwrap().result, Some(TrustTier::Affirming), "round {round}");
    }
    assert_eq!(findings(&rig, &id), Vec::<Value>::new());
    let checked = rig.control_plane.operator(&["records", &id, "--verify"]).unwrap();
    assert_eq!(checked["failures"], Value::Array(Vec::new()));
}

#[test]
fn the_log_stays_within_its_bound_and_a_gap_is_reported_once() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    judged_anew(&rig, &device);
    device.stop().unwrap();
    // As after months offline: more records than the device keeps, none of them reported.
    let records = Records::of(&device);
    records.fill();
    assert!(records.size() > 250 * 1024);
    // The device reports by itself. A requested report would replace the one that carries the gap.
    device.start().unwrap();
    let status = device
        .wait_until("the verdict names the gap", |status| {
            status.verdict.as_ref().and_then(|verdict| verdict.result) == Some(TrustTier::Warning)
        })
        .unwrap();
    let reasons = format!("{:?}", status.verdict.unwrap().reasons);
    assert!(reasons.contains("records: records ") && reasons.contains("were dropped"), "{reasons}");
    assert_eq!(status.state, DeviceState::Entitled);
    assert!(records.size() <= 256 * 1024, "{} bytes", records.size());

    judged(&rig, &device, TrustTier::Affirming);
    let findings = findings(&rig, &id);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0]["detail"]["finding"], "gap");
}

#[test]
fn a_full_disk_stops_no_wipe() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.device("device", DeviceOptions::default()).unwrap();
    let disk = SmallDisk::under(device.state_dir());
    device.start().unwrap();
    rig.control_plane.enrol(&device.status().unwrap().ek_sha256, "device").unwrap();
    device.pair().unwrap();
    let epoch = device.wait_until_entitled().unwrap().counter.unwrap();
    let id = device.status().unwrap().device.to_string();

    disk.fill();
    rig.control_plane.revoke(&id, "stolen").unwrap();
    let status = device.wait_for(DeviceState::Revoked).unwrap();
    assert_eq!(refusal(&device), "revoked");
    assert!(status.counter.unwrap() > epoch);
    assert_wiped(&device, "the disk is full");
    assert_eq!(verified_receipt(&rig, &id, epoch.0)["cause"], "revoke");

    // A record may have found room in the last page of its file. Without room it is counted.
    let wipe_is_kept =
        fs::read(Records::of(&device).newest()).unwrap().windows(5).any(|word| word == b"wiped");
    let due = if wipe_is_kept { r#""kind":"wiped""# } else { r#""kind":"missed""# };

    // With room again it can be paired, and the chain has the wipe, or says that it could not keep it.
    disk.free();
    device.pair().unwrap();
    device.wait_until_entitled().unwrap();
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
    let output = device.pawlctl(&["records", "--json"]).unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains(due), "{due} is not among {printed}");
    // Nothing may be left open on it.
    device.stop().unwrap();
}

/// Lets somebody at the records of a stopped device; the findings that are recorded after its next
/// reports, each once. Its lease is left alone.
fn told_after(alter: impl FnOnce(&Records)) -> Vec<String> {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    judged_anew(&rig, &device);
    device.stop().unwrap();
    alter(&Records::of(&device));
    device.start().unwrap();

    let status = judged(&rig, &device, TrustTier::Warning);
    assert_eq!(status.state, DeviceState::Entitled);
    let verdict = status.verdict.unwrap();
    assert!(verdict.reasons.iter().any(|reason| reason.as_str().starts_with("records: ")), "{verdict:?}");
    let shown = rig.control_plane.show(&id).unwrap();
    assert_eq!(shown["verdict"]["result"], "warning");
    assert!(shown["verdict"]["reasons"].to_string().contains("records: "), "{shown:#}");

    judged(&rig, &device, TrustTier::Warning);
    let findings = findings(&rig, &id);
    let told: Vec<String> =
        findings.iter().map(|fact| fact["detail"]["finding"].as_str().unwrap().to_owned()).collect();
    let mut once = told.clone();
    once.dedup();
    assert_eq!(told, once, "{findings:#?}");
    told
}

/// What the control plane recorded about the device's own records.
fn findings(rig: &Rig, device: &str) -> Vec<Value> {
    let records = rig.control_plane.records(device).unwrap();
    records.into_iter().filter(|record| record["kind"] == "device-records").collect()
}
