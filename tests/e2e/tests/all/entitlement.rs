//! What the operator grants is what a device gets, and from the moment of the grant.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, OldKeys, TokenAnswer, wait};
use pawl_local_api::Problem;
use pawl_proto::{Channel, Topic};
use serde_json::{Value, json};

use crate::support::{Client, TokenRequest};

const ADMIN: &str = "[[token]]\nname = \"admin\"\nscopes = [\"admin\"]\n";
const ELSEWHERE: &str =
    "[[token]]\nname = \"elsewhere\"\nscopes = [\"telemetry\"]\naudience = \"https://api.example\"\n";

#[test]
fn a_scope_that_nobody_granted_is_not_given_until_it_is() {
    let rig = Rig::for_test().unwrap();
    // The device's owner writes `scopes = ["admin"]` into pawl.toml.
    let device = paired(&rig, ADMIN);
    let id = device.status().unwrap().device.to_string();
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
    let problem = refused(&device, "admin");
    assert!(problem.reason.contains("the scope admin"), "{problem:?}");
    assert!(
        problem.remedy.contains(&format!("pawl-control-plane entitle {id} --scope admin")),
        "{problem:?}"
    );
    assert_eq!(names(&device.status().unwrap().pairing.unwrap().scopes), ["telemetry"]);
    let screen = String::from_utf8(device.pawlctl(&["status"]).unwrap().stdout).unwrap();
    assert!(screen.contains("entitle") && screen.contains("--scope admin"), "{screen}");
    let paired = rig.control_plane.records(&id).unwrap();
    let paired = paired.iter().find(|record| record["kind"] == "paired").unwrap();
    assert_eq!(paired["detail"]["scopes"], json!(["telemetry"]));

    let changed = rig.control_plane.entitle(&id, &["--scope", "admin"]).unwrap();
    assert_eq!(changed["granted"]["scopes"], json!(["admin", "maintenance", "telemetry"]));
    assert_eq!((&changed["added"]["scopes"], &changed["delivery"]), (&json!(["admin"]), &json!("published")));
    let token = granted(&device, "admin");
    assert_eq!(claims(&token)["scope"], "admin");
    assert_eq!(rig.control_plane.show(&id).unwrap()["entitlement"]["scopes"], json!(["admin", "telemetry"]));
}

#[test]
fn a_scope_that_is_taken_back_is_gone_while_a_workload_polls() {
    let rig = Rig::for_test().unwrap();
    let mut device = paired(&rig, ADMIN);
    let id = device.status().unwrap().device.to_string();
    rig.control_plane.entitle(&id, &["--scope", "admin"]).unwrap();
    granted(&device, "admin");

    let over = AtomicBool::new(false);
    let answers = thread::scope(|scope| {
        let poll = scope.spawn(|| {
            let mut answers = Vec::new();
            while !over.load(Ordering::Relaxed) {
                answers.push(matches!(device.token_named("admin").unwrap(), TokenAnswer::Granted(_)));
            }
            answers
        });
        let order = Instant::now();
        let changed = rig.control_plane.entitle(&id, &["--remove-scope", "admin"]);
        let gone = wait::until("the token is gone", wait::SOON, || {
            anyhow::ensure!(!matches!(device.token_named("admin")?, TokenAnswer::Granted(_)), "it is served");
            Ok(order.elapsed())
        });
        // More polls, none of which may be answered with a token.
        thread::sleep(Duration::from_millis(300));
        over.store(true, Ordering::Relaxed);
        let answers = poll.join().unwrap();
        assert_eq!(changed.unwrap()["removed"]["scopes"], json!(["admin"]));
        println!("gone {:?} after the order", gone.unwrap());
        answers
    });
    let first_refusal = answers.iter().position(|granted| !granted).unwrap();
    assert!(first_refusal > 0, "it was never served");
    assert!(answers[first_refusal..].iter().all(|granted| !granted), "served again after it was taken back");
    assert_eq!(refused(&device, "admin").error, "not-granted");
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)), "the other token went, too");

    // Neither the sealed tokens on the disk nor the token endpoint bring it back.
    device.stop().unwrap();
    let keys = OldKeys::read(&device.copy_disk(&rig.directory().path().join("disk")).unwrap()).unwrap();
    let asking = TokenRequest::sign(&rig, &device, &id, &keys, "after");
    let (status, answer) = asking.send_for(&rig, "scope=admin");
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_scope")), "{answer}");
    assert!(answer["error_description"].as_str().unwrap().contains("entitle"), "{answer}");
    device.start().unwrap();
    device
        .wait_until("it is entitled", |status| status.tokens.iter().any(|token| token.expires_at.is_some()))
        .unwrap();
    assert_eq!(refused(&device, "admin").error, "not-granted");
}

#[test]
fn an_audience_that_nobody_granted_is_refused_in_words_for_the_operator() {
    let rig = Rig::for_test().unwrap();
    let mut device = paired(&rig, ELSEWHERE);
    let id = device.status().unwrap().device.to_string();
    let problem = refused(&device, "elsewhere");
    assert!(problem.remedy.contains("--audience https://api.example"), "{problem:?}");
    assert_eq!(claims(&granted(&device, "telemetry"))["aud"], rig.control_plane.url());

    device.stop().unwrap();
    let keys = OldKeys::read(&device.copy_disk(&rig.directory().path().join("disk")).unwrap()).unwrap();
    let ask =
        |jti: &str, wanted: &str| TokenRequest::sign(&rig, &device, &id, &keys, jti).send_for(&rig, wanted);
    let (status, answer) = ask("1", "scope=telemetry&resource=https%3A%2F%2Fapi.example");
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_target")), "{answer}");
    let (status, answer) = ask("2", "scope=telemetry&resource=https%3A%2F%2Fapi.example%23a");
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_target")), "{answer}");

    // Once an audience is granted, the control plane itself is one of those that have to be.
    rig.control_plane.entitle(&id, &["--audience", "https://api.example"]).unwrap();
    let (status, answer) = ask("3", "scope=telemetry");
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_target")), "{answer}");
    let (status, _) = ask("4", "scope=telemetry&resource=https%3A%2F%2Fapi.example");
    assert_eq!(status, 200);
    device.start().unwrap();
    assert_eq!(claims(&granted(&device, "elsewhere"))["aud"], "https://api.example");
    device
        .wait_until("the other token is gone", |status| {
            status.tokens.iter().any(|token| token.name == "telemetry" && token.expires_at.is_none())
        })
        .unwrap();
    assert!(refused(&device, "telemetry").remedy.contains(&rig.control_plane.url()));
    rig.control_plane.entitle(&id, &["--audience", &rig.control_plane.url()]).unwrap();
    granted(&device, "telemetry");
}

#[test]
fn an_older_entitlement_is_refused_by_its_number() {
    let rig = Rig::for_test().unwrap();
    let device = paired(&rig, ADMIN);
    let id = device.status().unwrap().device;
    rig.control_plane.entitle(id.as_str(), &["--scope", "admin"]).unwrap();
    granted(&device, "admin");
    // A verdict that grants it, as the control plane signed it and the broker delivered it.
    let older = std::fs::read(device.state_dir().join("pairing/verdict.cose")).unwrap();
    rig.control_plane.entitle(id.as_str(), &["--remove-scope", "admin"]).unwrap();
    wait::until("the token is gone", wait::SOON, || {
        anyhow::ensure!(!matches!(device.token_named("admin")?, TokenAnswer::Granted(_)), "it is served");
        Ok(())
    })
    .unwrap();

    let topic = Topic::new(id, Channel::Verdict).to_string();
    assert!(Client::observer(&rig).publish(&topic, &older, false).status.success());
    device
        .wait_until("the older verdict is refused", |status| {
            status.refused.get("replayed").is_some_and(|count| *count > 0)
        })
        .unwrap();
    assert_eq!(refused(&device, "admin").error, "not-granted");
}

/// A device with more tokens than the operator grants it; entitled, with the token of `telemetry` where it may.
fn paired(rig: &Rig, tokens: &'static str) -> Device {
    let mut device = rig.device("device", DeviceOptions { tokens, ..DeviceOptions::default() }).unwrap();
    device.start().unwrap();
    rig.control_plane.enrol(&device.status().unwrap().ek_sha256, "device").unwrap();
    device.pair().unwrap();
    device
        .wait_until("it has a token", |status| status.tokens.iter().any(|token| token.expires_at.is_some()))
        .unwrap();
    device
}

/// Waits for a token; its JWT.
fn granted(device: &Device, name: &str) -> String {
    wait::until(&format!("there is the token {name}"), wait::SOON, || match device.token_named(name)? {
        TokenAnswer::Granted(token) => Ok(token.access_token.clone()),
        TokenAnswer::Refused { problem, .. } => anyhow::bail!("{}", problem.reason),
    })
    .unwrap()
}

/// Why the device does not give a token.
fn refused(device: &Device, name: &str) -> Problem {
    match device.token_named(name).unwrap() {
        TokenAnswer::Refused { status: 403, problem } => problem,
        TokenAnswer::Refused { status, problem } => panic!("HTTP {status}: {problem:?}"),
        TokenAnswer::Granted(_) => panic!("the token was given"),
    }
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64URL.decode(payload).unwrap()).unwrap()
}

fn names<T: AsRef<str>>(names: &[T]) -> Vec<&str> {
    names.iter().map(AsRef::as_ref).collect()
}
