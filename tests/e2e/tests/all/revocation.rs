//! What a revocation leaves: nothing that works, and a receipt that proves it.

use std::process::Stdio;

use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, OldKeys, Terminal, TokenAnswer, wait};
use pawl_proto::message::DeviceState;
use pawl_tpm::LeaseStep;
use serde_json::Value;

use crate::power_cuts::assert_wiped;
use crate::support::{Tpm2Tools, refusal};

#[test]
fn a_revoked_device_refuses_and_its_old_keys_are_dead() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
    let epoch = device.status().unwrap().counter.unwrap();
    let disk = device.copy_disk(&rig.directory().path().join("old-disk")).unwrap();
    let id = device.status().unwrap().device.to_string();

    rig.control_plane.revoke(&id, "reported stolen").unwrap();
    device.wait_for(DeviceState::Revoked).unwrap();

    let TokenAnswer::Refused { status, problem } = device.token().unwrap() else { panic!("a token") };
    assert_eq!((status, problem.error.as_str()), (403, "revoked"));
    assert!(problem.reason.contains("reported stolen"), "{}", problem.reason);
    assert_wiped(&device, "revoked");

    let receipt = verified_receipt(&rig, &id, epoch.0);
    assert_eq!(receipt["epoch"], epoch.0 + 1);
    assert_eq!(receipt["cause"], "revoke");
    assert_eq!(receipt["reason"], "reported stolen");

    device.stop().unwrap();
    assert_eq!(Tpm2Tools::on(&device.tpm).counter(), epoch.0 + 1);
    assert_dead(&OldKeys::read(&disk).unwrap(), &device);

    // The disk from before does not help the daemon either.
    device.restore_disk(&disk).unwrap();
    device.start().unwrap();
    device.wait_for(DeviceState::Revoked).unwrap();
    assert_eq!(refusal(&device), "revoked");
}

#[test]
fn an_operator_confirms_a_revocation_by_the_devices_label() {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("pump 4", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    for verb in ["revoke", "repair"] {
        let command = [verb, &id, "--reason", "lost"];
        let refused = rig.control_plane.command(&command).unwrap().stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(64), "{said}");
        assert!(said.contains("there is no terminal to ask at: nothing was ordered; give --yes"), "{said}");
    }
    for (typed, code) in [("pump 5", 1), ("pump 4", 0)] {
        let command = rig.control_plane.command(&["revoke", &id, "--reason", "lost"]).unwrap();
        let mut terminal = Terminal::start("pawl-control-plane revoke", &command).unwrap();
        terminal.wait_for("entitled to").unwrap();
        terminal.wait_for("Type pump 4 to continue: ").unwrap();
        let state = rig.control_plane.show(&id).unwrap()["pairing"]["state"].clone();
        assert_eq!(state, "live", "it was ended before it was confirmed");
        terminal.type_line(typed).unwrap();
        let (status, screen) = terminal.end().unwrap();
        assert_eq!(status.code(), Some(code), "{screen}");
    }
    device.wait_for(DeviceState::Revoked).unwrap();
}

#[test]
fn the_keys_live_until_the_revocation() {
    // Without this, the refusals of the other tests would prove nothing.
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let disk = device.copy_disk(&rig.directory().path().join("old-disk")).unwrap();
    device.stop().unwrap();
    for (name, answer) in OldKeys::read(&disk).unwrap().try_all(&device.tpm.tcti()).unwrap() {
        answer.unwrap_or_else(|error| panic!("the {name} does not work: {error}"));
    }
}

#[test]
fn a_wipe_on_the_device_is_a_revocation() {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();

    let wiped = device.wipe("sold").unwrap();
    assert_eq!(wiped.epoch.0, wiped.ended.0 + 1);
    assert_eq!(refusal(&device), "revoked");
    let receipt = verified_receipt(&rig, &id, wiped.ended.0);
    assert_eq!(receipt["cause"], "wipe");
    assert_eq!(receipt["reason"], "sold");
    let shown = rig.control_plane.show(&id).unwrap();
    assert_eq!((&shown["status"], &shown["pairing"]["state"]), (&"revoked".into(), &"ended".into()));
    assert!(
        shown["verdict"].is_null() && shown["lease"].is_null(),
        "it looks as if it were in force: {shown:#}"
    );
}

#[test]
fn a_revoked_device_pairs_again_in_a_later_epoch() {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let wiped = device.wipe("moved to another site").unwrap();
    device.pair().unwrap();
    let status = device.wait_until_entitled().unwrap();
    assert!(status.pairing.unwrap().epoch > wiped.ended);
}

/// Waits for the receipt of an epoch that the control plane has verified.
pub(crate) fn verified_receipt(rig: &Rig, device: &str, ended: u64) -> Value {
    wait::until("the control plane has verified the receipt", wait::SOON, || {
        let shown = rig.control_plane.show(device)?;
        let receipts = shown["receipts"].as_array().cloned().unwrap_or_default();
        let receipt = receipts.into_iter().find(|receipt| receipt["ended"] == ended);
        receipt.filter(|receipt| receipt["verified"] == true).ok_or_else(|| anyhow::anyhow!("{shown:#}"))
    })
    .unwrap()
}

/// The TPM refuses each of the keys.
pub(crate) fn assert_dead(keys: &OldKeys, device: &Device) {
    for (name, answer) in keys.try_all(&device.tpm.tcti()).unwrap() {
        let Err(refusal) = answer else { panic!("the TPM still uses the {name}") };
        assert!(refusal.response_code().is_some(), "the TPM was not asked about the {name}");
        let step = refusal.lease_step();
        assert!(name == "link_key" || step == Some(LeaseStep::Epoch), "the {name} failed for: {refusal}");
    }
}
