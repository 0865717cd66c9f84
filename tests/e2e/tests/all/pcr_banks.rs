//! TPMs whose sha256 bank is not active.

use std::fs;

use pawl_e2e::Rig;
use pawl_e2e::rig::{DeviceOptions, TokenAnswer, boot_log};
use pawl_evidence::eventlog::EventLog;
use pawl_evidence::tpm::HashAlgorithm;
use pawl_proto::message::{DeviceState, TrustTier};
use serde_json::Value;

use crate::lease::wait_until_contraindicated;
use crate::support::{judged, refusal};

#[test]
fn a_device_with_the_sha384_bank_alone_pairs_drifts_and_is_revoked() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", sha384()).unwrap();
    let status = device.status().unwrap();
    let id = status.device.to_string();
    assert_eq!(status.pcr_banks, ["sha384"]);
    assert!(status.lease.unwrap().accepted);
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
    assert_eq!(bank_finding(&device)["result"], "ok");

    device.stop().unwrap();
    device.tpm.reset_into(&boot_log("x86-cmdline-changed")).unwrap();
    device.start().unwrap();
    let status = wait_until_contraindicated(&device);
    assert!(!status.lease.unwrap().accepted, "the TPM accepts a lease for other PCRs");
    let reasons = format!("{:?}", status.verdict.unwrap().reasons);
    assert!(reasons.contains("PCR 4 (sha384"), "{reasons}");
    assert_eq!(refusal(&device), "drifted");

    rig.control_plane.accept(&id).unwrap();
    rig.control_plane.refresh(&id).unwrap();
    device.wait_until_entitled().unwrap();
    let verified = rig.control_plane.operator(&["records", &id, "--verify"]).unwrap();
    assert_eq!(verified["failures"].as_array().map(Vec::len), Some(0), "{verified:#}");

    rig.control_plane.revoke(&id, "reported stolen").unwrap();
    device.wait_for(DeviceState::Revoked).unwrap();
    assert!(!matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
}

#[test]
fn a_policy_and_an_update_approved_ahead_go_by_the_sha384_bank() {
    let mut rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", sha384()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let learnt = rig.control_plane.learn_policy(&id).unwrap();
    rig.control_plane.set_policy(&id, &learnt).unwrap();
    judged(&rig, &device, TrustTier::Affirming);

    let mut arguments = vec!["pre-approve".to_owned(), id.clone(), "--name".to_owned(), "6.2".to_owned()];
    arguments.extend(["--state".to_owned(), rig.control_plane.reported_state(&id).unwrap()]);
    arguments.extend(pcrs("x86-cmdline-changed").into_iter().flat_map(|pcr| ["--pcr".to_owned(), pcr]));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    rig.control_plane.operator(&arguments).unwrap();
    device
        .wait_until("the device has a lease ahead", |status| {
            status.lease.as_ref().is_some_and(|lease| lease.ahead == 1)
        })
        .unwrap();

    device.stop().unwrap();
    rig.broker.stop().unwrap();
    device.tpm.reset_into(&boot_log("x86-cmdline-changed")).unwrap();
    device.start().unwrap();
    device.wait_until_entitled().unwrap();

    device.stop().unwrap();
    device.tpm.reset_into(&boot_log("x86-initrd-changed")).unwrap();
    rig.broker.resume().unwrap();
    device.start().unwrap();
    let reasons = format!("{:?}", wait_until_contraindicated(&device).verdict.unwrap().reasons);
    assert!(reasons.contains("not in the list: sha384"), "{reasons}");
}

#[test]
fn a_tpm_with_the_sha1_bank_alone_is_found_by_check_before_it_is_paired() {
    let rig = Rig::for_test().unwrap();
    let options = DeviceOptions { pcr_banks: "sha1", ..DeviceOptions::default() };
    let mut device = rig.device("device", options).unwrap();
    device.start().unwrap();
    let found = bank_finding(&device);
    assert_eq!(found["result"], "failed", "{found:#}");
    let text = found.to_string();
    assert!(text.contains("enabled: sha1:") && text.contains("tpm2_pcrallocate sha256:all"), "{text}");

    rig.control_plane.enrol(&device.status().unwrap().ek_sha256, "device").unwrap();
    let refused = device.pawlctl(&["pair"]).unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("neither its sha256 nor its sha384 PCR bank"), "{said}");
}

fn sha384() -> DeviceOptions {
    DeviceOptions { pcr_banks: "sha384", ..DeviceOptions::default() }
}

/// What `pawlctl check` says of the TPM's banks.
fn bank_finding(device: &pawl_e2e::rig::Device) -> Value {
    let checked = device.pawlctl(&["check", "--json"]).unwrap();
    let findings: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let findings = findings.as_array().unwrap().clone();
    findings.into_iter().find(|finding| finding["check"] == "pcr-bank").unwrap()
}

/// The PCRs of a fixture's boot that leases name, as the command line takes them.
fn pcrs(boot: &str) -> Vec<String> {
    const LEASE: [u8; 8] = [0, 2, 4, 7, 8, 9, 12, 14];
    let bytes = fs::read(boot_log(boot)).unwrap();
    let replayed = EventLog::parse(&bytes).unwrap().replay().unwrap();
    let of_lease = replayed.bank(HashAlgorithm::Sha384).filter(|(index, _)| LEASE.contains(index));
    of_lease.map(|(index, value)| format!("{index}={value}")).collect()
}
