//! Protected actions that the policy allows without a person: who gets an assurance, and for what it is valid.

use std::process::Command;

use anyhow::ensure;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64URL};
use pawl_e2e::Rig;
use pawl_e2e::rig::{ClientCertificate, Device, DeviceOptions, Terms, boot_log, wait};
use pawl_evidence::assurance::{Approved, AssuranceError};
use pawl_local_api::{ActionRequest, Problem};
use pawl_proto::message::{DeviceState, ShortText, TrustTier};
use serde_json::Value;

use crate::support::{Client, Receiver, assured, newly_paired, update};

#[test]
fn an_assurance_says_what_was_let_where_and_when() {
    let (rig, device) = device_that_updates();
    let receiver = Receiver::of(&rig);
    let status = device.status().unwrap();
    let wanted = update("9.1");
    let jws = act(&device, &wanted);

    let assurance = receiver.check(&jws, &wanted, Some(status.device.as_str())).unwrap();
    let claims = assurance.claims();
    let pairing = status.pairing.unwrap();
    assert_eq!(claims.iss, format!("{}/", rig.control_plane.url()).trim_end_matches('/'));
    assert_eq!(claims.pawl.pairing, pairing.id.to_string());
    assert_eq!(claims.pawl.epoch, pairing.epoch.0);
    assert_eq!(claims.pawl.approved, Approved::Policy);
    assert!(claims.pawl.origin.starts_with("uid 0"), "{}", claims.pawl.origin);
    assert_eq!(claims.exp - claims.iat, 300);

    let judged = records(&rig, &status.device.to_string(), "verdict");
    let evidence = hex::encode(claims.pawl.evidence);
    assert!(
        judged.iter().any(|verdict| verdict["detail"]["evidence"] == evidence),
        "{evidence} was never judged"
    );
    let answer = receiver.ask(&jws, &wanted, Some(status.device.as_str()), false);
    assert_eq!(answer["valid"], true, "{answer}");
    assert_eq!(answer["claims"]["jti"], claims.jti.as_str());
}

#[test]
fn it_counts_for_nothing_else() {
    let (rig, device) = device_that_updates();
    let receiver = Receiver::of(&rig);
    let wanted = update("9.1");
    let jws = act(&device, &wanted);
    let other = ShortText::lossy("other");
    let others = [
        (AssuranceError::Action, "action", ActionRequest { action: other.clone(), ..wanted.clone() }),
        (AssuranceError::Resource, "resource", ActionRequest { resource: other.clone(), ..wanted.clone() }),
        (AssuranceError::Digest, "digest", ActionRequest { digest: update("9.2").digest, ..wanted.clone() }),
        (AssuranceError::Session, "session", ActionRequest { session: other, ..wanted.clone() }),
    ];
    for (error, reason, other) in others {
        assert_eq!(receiver.check(&jws, &other, None).unwrap_err(), error);
        assert_eq!(receiver.ask(&jws, &other, None, true)["reason"], reason);
    }
    let stranger = "abcdefghijklmnopqrstuvwxyz234567";
    assert_eq!(receiver.check(&jws, &wanted, Some(stranger)).unwrap_err(), AssuranceError::Device);
    assert_eq!(receiver.ask(&jws, &wanted, Some(stranger), true)["reason"], "device");
    // None of these calls consumed the assurance.
    assert_eq!(receiver.ask(&jws, &wanted, None, false)["valid"], true);
}

#[test]
fn it_is_used_once() {
    let (rig, device) = device_that_updates();
    let id = device.status().unwrap().device.to_string();
    let receiver = Receiver::of(&rig);
    let wanted = update("9.1");
    let jws = act(&device, &wanted);
    assert_eq!(receiver.ask(&jws, &wanted, None, true)["valid"], true);
    for consume in [true, false] {
        assert_eq!(receiver.ask(&jws, &wanted, None, consume)["reason"], "already-used");
    }
    let (made, used) = (records(&rig, &id, "assurance"), records(&rig, &id, "assurance-used"));
    assert_eq!((made.len(), used.len()), (1, 1));
    assert_eq!(made[0]["detail"]["session"], used[0]["detail"]["session"]);
    // The same request again gives another assurance.
    let again = act(&device, &wanted);
    assert_eq!(receiver.ask(&again, &wanted, None, true)["valid"], true);
}

#[test]
fn it_ends_with_its_pairing() {
    let (rig, device) = device_that_updates();
    let receiver = Receiver::of(&rig);
    let wanted = update("9.1");
    let jws = act(&device, &wanted);
    let epoch = device.status().unwrap().counter.unwrap();
    device.re_pair("another board").unwrap();
    newly_paired(&device);
    assert_eq!(receiver.ask(&jws, &wanted, None, true)["reason"], "pairing-over");
    // An offline receiver cannot know that; the assurance names its epoch.
    assert_eq!(receiver.check(&jws, &wanted, None).unwrap().claims().pawl.epoch, epoch.0);
}

#[test]
fn an_action_that_no_policy_names_is_refused_and_recorded() {
    let (rig, device) = device_that_updates();
    let id = device.status().unwrap().device.to_string();
    let unknown = ActionRequest { action: ShortText::lossy("open-valve"), ..update("9.1") };
    assert_eq!(refusal(&device, &unknown).error, "action-unknown");
    let refused = records(&rig, &id, "refused");
    assert_eq!(refused.last().unwrap()["detail"]["action"], "open-valve");
    // A pairing is approved in its own way and no other.
    for name in ["pair", "re-pair"] {
        let pairing = ActionRequest { action: ShortText::lossy(name), ..update("9.1") };
        assert_eq!(refusal(&device, &pairing).error, "action-unknown");
    }
}

#[test]
fn a_device_that_is_not_entitled_does_nothing() {
    let (rig, mut device) = device_that_updates();
    let id = device.status().unwrap().device.to_string();

    rig.control_plane.suspend(&id, "seen outside its site").unwrap();
    device.wait_for(DeviceState::Lapsed).unwrap();
    assert_eq!(refusal(&device, &update("9.1")).error, "suspended");
    rig.control_plane.resume(&id).unwrap();
    device.wait_until_entitled().unwrap();

    device.stop().unwrap();
    device.tpm.reset_into(&boot_log("x86-cmdline-changed")).unwrap();
    device.start().unwrap();
    device
        .wait_until("it is judged anew", |status| {
            let result = status.verdict.as_ref().and_then(|verdict| verdict.result);
            status.state == DeviceState::Lapsed && result == Some(TrustTier::Contraindicated)
        })
        .unwrap();
    assert_eq!(refusal(&device, &update("9.1")).error, "drifted");

    rig.control_plane.revoke(&id, "stolen").unwrap();
    device.wait_for(DeviceState::Revoked).unwrap();
    assert_eq!(refusal(&device, &update("9.1")).error, "revoked");
    assert!(records(&rig, &id, "assurance").is_empty());
}

#[test]
fn a_workload_gets_the_assurance_alone() {
    let (rig, device) = device_that_updates();
    let file = rig.directory().path().join("firmware.bin");
    std::fs::write(&file, "9.1").unwrap();
    let (path, wanted) = (file.display().to_string(), update("9.1"));
    let session = wanted.session.as_str();
    let command =
        ["action", "firmware-update", "--resource", "/dev/mtd0", "--file", &path, "--session", session];
    let output = device.pawlctl(&command).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    Receiver::of(&rig).check(printed.trim_end_matches('\n'), &wanted, None).unwrap();
}

#[test]
fn the_certificate_of_an_action_key_opens_no_door_at_the_broker() {
    let (rig, device) = device_that_updates();
    let id = device.status().unwrap().device.to_string();
    let jws = act(&device, &update("9.1"));
    let header: Value =
        serde_json::from_slice(&BASE64URL.decode(jws.split('.').next().unwrap()).unwrap()).unwrap();
    let der = rig.directory().path().join("action.der");
    std::fs::write(&der, BASE64_STANDARD.decode(header["x5c"][0].as_str().unwrap()).unwrap()).unwrap();
    let verify = |purpose: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args(["verify", "-purpose", purpose, "-CAfile"]).arg(rig.control_plane.ca()).arg(&der);
        openssl.output().unwrap()
    };
    assert!(verify("any").status.success(), "{:?}", verify("any"));
    assert!(!verify("sslclient").status.success());

    // A certificate of the same kind, with a software key.
    let stolen = Client::new(&rig, ClientCertificate::for_actions(&rig, &id).unwrap());
    assert!(!stolen.publish(&format!("pawl/v1/{id}/status"), b"forged", false).status.success());
    wait::until("the broker says why", wait::SOON, || {
        let log = rig.broker.log()?;
        ensure!(log.contains("certificate verify failed"), "{log}");
        Ok(())
    })
    .unwrap();
    let own = Client::new(&rig, ClientCertificate::issued(&rig, &id).unwrap());
    assert!(own.publish(&format!("pawl/v1/{id}/status"), b"its own", false).status.success());
}

fn device_that_updates() -> (Rig, Device) {
    let terms = Terms { actions: vec![("firmware-update", 0)], ..Terms::default() };
    let rig = Rig::for_test_with(&terms).unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    (rig, device)
}

fn act(device: &Device, wanted: &ActionRequest) -> String {
    assured(device.ask_for_action(wanted).unwrap().success().unwrap().json().unwrap())
}

fn refusal(device: &Device, wanted: &ActionRequest) -> Problem {
    let answer = device.ask_for_action(wanted).unwrap();
    assert_eq!(answer.status, 403, "{answer}");
    answer.json().unwrap()
}

/// The control plane's records of one kind about a device.
fn records(rig: &Rig, device: &str, kind: &str) -> Vec<Value> {
    let records = rig.control_plane.records(device).unwrap();
    records.into_iter().filter(|record| record["kind"] == kind).collect()
}
