//! Tests of the program itself: its commands, and that confirmed changes survive `kill -9`.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A directory with a configuration, and the server when it runs.
struct Rig {
    dir: tempfile::TempDir,
    server: Option<Child>,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (https, broker) = (free_port(), free_port());
        let state = dir.path().join("state");
        let text = format!(
            "state_dir = {state:?}\nlisten = \"127.0.0.1:{https}\"\nname = \"Example fleet\"\n\
             host_names = [\"localhost\"]\nurl = \"https://localhost:{https}\"\n\
             [broker]\nhost = \"localhost\"\nport = {broker}\n"
        );
        std::fs::write(dir.path().join("control-plane.toml"), text).unwrap();
        Self { dir, server: None }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(args).arg("--json").arg("--config").arg(self.dir.path().join("control-plane.toml"));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn start(&mut self) {
        let server = self.command(&["serve"]).stderr(Stdio::null()).spawn().unwrap();
        self.server = Some(server);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.run(&["devices"]).status.success() {
            assert!(Instant::now() < deadline, "the server does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.kill();
        }
    }
}

/// Returns the path of the program: in `PAWL_BIN_DIR` if that is set, else where cargo built it.
fn program() -> PathBuf {
    match std::env::var_os("PAWL_BIN_DIR") {
        Some(directory) => Path::new(&directory).join("pawl-control-plane"),
        None => env!("CARGO_BIN_EXE_pawl-control-plane").into(),
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Returns a hash of an endorsement key. The device id is derived from its first bytes.
fn ek(number: usize) -> String {
    format!("{number:08x}{:056}", 0)
}

#[test]
fn confirmed_enrolments_survive_kill_9_during_writes() {
    let mut rig = Rig::new();
    let mut answered = Vec::new();
    for round in 0..3 {
        rig.start();
        // Some requests are running when the server dies. Those that it confirmed must survive.
        let writers: Vec<(String, Child)> = (0..12)
            .map(|number| {
                let ek = ek(round * 100 + number);
                let mut command = rig.command(&["enrol", "--ek-sha256", &ek]);
                (ek, command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
            })
            .collect();
        let mut writers = writers.into_iter();
        let (first, mut writer) = writers.next().unwrap();
        assert!(writer.wait().unwrap().success());
        answered.push(first);
        rig.kill();
        answered
            .extend(writers.filter_map(|(ek, mut writer)| writer.wait().unwrap().success().then_some(ek)));
    }
    rig.start();
    for ek in answered {
        let enrolled = json(&rig.run(&["enrol", "--ek-sha256", &ek]));
        assert_eq!(enrolled[0]["new"], false, "{ek} is lost");
        let device = enrolled[0]["device"].as_str().unwrap();
        let records = json(&rig.run(&["records", device]));
        assert_eq!(records[0]["kind"], "enrolled");
    }
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let rig = Rig::new();
    assert_eq!(rig.run(&["revoke", "x"]).status.code(), Some(64));
    let absent = rig.run(&["devices"]);
    assert_eq!((absent.status.code(), &json(&absent)["error"]), (Some(69), &"not-running".into()));
    let unknown = Command::new(program()).args(["devices", "--config", "/nonexistent"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(78));
}

#[test]
fn an_unknown_device_is_an_error_for_people_and_for_programs() {
    let mut rig = Rig::new();
    rig.start();
    let refused = rig.run(&["show", &"a".repeat(32)]);
    assert_eq!((refused.status.code(), &json(&refused)["error"]), (Some(1), &"unknown-device".into()));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("pawl-control-plane devices"));
    let malformed = rig.run(&["enrol", "--ek-sha256", "abc"]);
    assert_eq!(json(&malformed)["error"], "malformed");
}

#[test]
fn a_device_is_named_by_its_label_or_a_prefix_of_its_id() {
    let mut rig = Rig::new();
    rig.start();
    let enrol = |number, label| {
        let enrolled = json(&rig.run(&["enrol", "--ek-sha256", &ek(number), "--label", label]));
        enrolled[0]["device"].as_str().unwrap().to_owned()
    };
    let (pump, gates) = (enrol(1, "pump 4"), [enrol(2, "gate"), enrol(3, "gate")]);
    for arguments in [
        &["show", "pump 4"][..],
        &["entitle", "pump 4", "--scope", "telemetry"],
        &["suspend", "pump 4", "--reason", "audit"],
        &["resume", "pump 4", "--suspension", "1"],
    ] {
        let done = rig.run(arguments);
        assert_eq!(json(&done)["device"], pump.as_str(), "{arguments:?}: {done:?}");
    }
    for arguments in [&["records", "pump 4"][..], &["sessions", "pump 4"]] {
        assert!(rig.run(arguments).status.success(), "{arguments:?}");
    }
    assert_eq!(json(&rig.run(&["records", "pump 4", "--verify"]))["device"], pump.as_str());

    let ambiguous = rig.run(&["suspend", "gate", "--reason", "audit"]);
    let refused = json(&ambiguous);
    assert_eq!((ambiguous.status.code(), &refused["error"]), (Some(1), &"ambiguous-device".into()));
    assert_eq!(refused["candidates"].as_array().unwrap().len(), 2);
    let said = String::from_utf8_lossy(&ambiguous.stderr).into_owned();
    assert!(gates.iter().all(|gate| said.contains(&format!("  {gate}  gate"))), "{said}");
    let unknown = rig.run(&["revoke", "pump", "--reason", "lost", "--yes"]);
    assert_eq!((unknown.status.code(), &json(&unknown)["error"]), (Some(1), &"unknown-device".into()));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains(&pump), "{unknown:?}");
}

#[test]
fn a_device_out_of_service_leaves_the_list_and_its_name() {
    let mut rig = Rig::new();
    rig.start();
    let enrolled = json(&rig.run(&["enrol", "--ek-sha256", &ek(1), "--label", "pump 4"]));
    let device = enrolled[0]["device"].as_str().unwrap();
    let renamed = json(&rig.run(&["rename", "pump 4", "pump 5"]));
    assert_eq!((&renamed["before"], &renamed["label"]), (&"pump 4".into(), &"pump 5".into()));
    let refused = rig.run(&["rename", "pump 5", "group:pumps"]);
    assert_eq!(json(&refused)["error"], "malformed");
    assert_eq!(rig.run(&["rename", "pump 5"]).status.code(), Some(64), "neither a label nor --remove");

    // Without a terminal nobody is asked, and nothing changes.
    let unconfirmed =
        rig.command(&["retire", device, "--reason", "sold"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(unconfirmed.status.code(), Some(64));
    assert_eq!(json(&rig.run(&["devices"]))[0]["retired_at"], serde_json::Value::Null);
    let retired = json(&rig.run(&["retire", "pump 5", "--reason", "sold", "--yes"]));
    assert_eq!((&retired["device"], &retired["order"]), (&device.into(), &serde_json::Value::Null));
    assert_eq!(json(&rig.run(&["devices"])), serde_json::json!([]));
    assert_eq!(json(&rig.run(&["devices", "--retired"]))[0]["status"], "retired");
    let list = Command::new(program())
        .args(["devices", "--config"])
        .arg(rig.dir.path().join("control-plane.toml"))
        .output()
        .unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(
        list.contains("No device is enrolled") && list.contains("1 device retired, see --retired."),
        "{list}"
    );

    assert!(rig.run(&["delete", "pump 5", "--yes"]).status.success());
    assert_eq!(json(&rig.run(&["show", device]))["error"], "deleted-device");
    let kinds: Vec<_> =
        json(&rig.run(&["records", device])).as_array().unwrap().iter().map(|r| r["kind"].clone()).collect();
    assert_eq!(kinds, ["enrolled", "renamed", "retired", "deleted"]);
}

#[test]
fn devices_are_sorted_counted_and_watched() {
    let mut rig = Rig::new();
    rig.start();
    for (number, label) in [(1, "b"), (2, "a"), (3, "b")] {
        assert!(rig.run(&["enrol", "--ek-sha256", &ek(number), "--label", label]).status.success());
    }
    let labels = |arguments: &[&str]| {
        let lines = json(&rig.run(&[&["devices"], arguments].concat()));
        lines
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["label"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(labels(&["--sort", "label"]), ["a", "b", "b"]);
    assert_eq!(labels(&["--sort", "label", "--reverse"]), ["b", "b", "a"]);
    let counts = json(&rig.run(&["devices", "--count-by", "label"]));
    let expected = serde_json::json!({ "field": "label", "devices": 3,
        "counts": [{ "value": "b", "devices": 2 }, { "value": "a", "devices": 1 }] });
    assert_eq!(counts, expected);
    for wrong in
        [&["--sort", "disk"][..], &["--reverse"], &["--watch=0"], &["--sort", "label", "--count-by", "label"]]
    {
        assert_eq!(rig.run(&[&["devices"], wrong].concat()).status.code(), Some(64), "{wrong:?}");
    }

    let watch = ["devices", "--where", "label=b", "--count-by", "status", "--watch=1"];
    let mut watch = rig.command(&watch).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut devices = || {
        let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        line["devices"].as_u64().unwrap()
    };
    assert_eq!(devices(), 2);
    assert!(rig.run(&["enrol", "--ek-sha256", &ek(4), "--label", "b"]).status.success());
    // The enrolment may come after the second list was read.
    assert!((0..3).any(|_| devices() == 3), "it prints what it printed before");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn what_is_no_code_and_no_session_is_told_apart() {
    let mut rig = Rig::new();
    rig.start();
    assert_eq!(json(&rig.run(&["sessions"])), serde_json::json!([]));
    let approve = |code| rig.run(&["approve", "--code", code, "--sign-with", "/nonexistent", "--yes"]);
    for (code, error) in [("BCDF-GHJ0-LMNP", "malformed"), ("bcdf ghjk lmnp", "unknown-code")] {
        let refused = approve(code);
        assert_eq!((refused.status.code(), &json(&refused)["error"]), (Some(1), &error.into()));
    }
    let unknown = rig.run(&["decline", &"0".repeat(32), "--reason", "no"]);
    assert_eq!((unknown.status.code(), &json(&unknown)["error"]), (Some(1), &"not-open".into()));
    assert_eq!(rig.run(&["decline", "x", "--reason", "no"]).status.code(), Some(64));
}

#[test]
fn init_creates_everything_once() {
    let rig = Rig::new();
    let made = json(&rig.run(&["init"]));
    assert_eq!(made["created"], true);
    for file in [&made["ca"], &made["broker"]["ca"], &made["broker"]["certificate"], &made["broker"]["key"]] {
        assert!(Path::new(file.as_str().unwrap()).is_file(), "{file}");
    }
    assert_eq!(json(&rig.run(&["init"]))["created"], false);
}

#[test]
fn a_lost_database_stops_the_server_until_an_operator_accepts_an_empty_one() {
    let mut rig = Rig::new();
    assert_eq!(rig.run(&["init"]).status.code(), Some(0));
    let database = rig.dir.path().join("state/control-plane.sqlite");
    std::fs::remove_file(&database).unwrap();
    for verb in ["serve", "init"] {
        let refused = rig.run(&[verb]);
        assert_eq!(
            (refused.status.code(), &json(&refused)["error"]),
            (Some(78), &"database-lost".into()),
            "{verb}"
        );
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(text.contains("init --accept-empty-database") && text.contains("from one backup"), "{text}");
        assert!(!database.exists(), "{verb}");
    }
    let accepted = rig.run(&["init", "--accept-empty-database"]);
    assert_eq!((accepted.status.code(), &json(&accepted)["created"]), (Some(0), &false.into()));
    rig.start();
    assert_eq!(json(&rig.run(&["devices"])), serde_json::json!([]));
}

#[test]
fn exported_records_are_verified_without_the_server() {
    let mut rig = Rig::new();
    rig.start();
    let enrolled = json(&rig.run(&["enrol", "--ek-sha256", &ek(1)]));
    let device = enrolled[0]["device"].as_str().unwrap();
    let checked = json(&rig.run(&["records", device, "--verify"]));
    assert_eq!((&checked["records"], &checked["failures"]), (&1.into(), &serde_json::json!([])));

    let path = |name: &str| rig.dir.path().join(name).display().to_string();
    let (lines, bundle) = (path("records.jsonl"), path("records.bundle"));
    assert!(rig.run(&["records", device, "--export", &lines]).status.success());
    assert!(rig.run(&["records", device, "--export", &bundle, "--bundle"]).status.success());
    assert_eq!(std::fs::read_to_string(&lines).unwrap().lines().count(), 1);
    let ca = path("state/ca.pem");
    rig.kill();

    let verify = |file: &str, more: &[&str]| {
        let args = [&["verify-bundle", file, "--ca", &ca, "--json"], more].concat();
        Command::new(program()).args(args).output().unwrap()
    };
    let good = verify(&bundle, &["--device", device]);
    assert_eq!((good.status.code(), &json(&good)["records"]), (Some(0), &1.into()));
    assert_eq!(verify(&bundle, &["--device", &"b".repeat(32)]).status.code(), Some(1));
    assert_eq!(verify(&lines, &[]).status.code(), Some(1), "no bundle");
    let text = std::fs::read_to_string(&bundle).unwrap();
    std::fs::write(&bundle, text.replacen("localhost", "localhosT", 1)).unwrap();
    let altered = verify(&bundle, &[]);
    assert_eq!(altered.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&altered.stderr).contains("altered"), "{altered:?}");
}

#[test]
fn records_that_were_altered_in_the_database_are_named() {
    let mut rig = Rig::new();
    rig.start();
    let enrolled = json(&rig.run(&["enrol", "--ek-sha256", &ek(1), "--label", "gate 4"]));
    let device = enrolled[0]["device"].as_str().unwrap();
    assert!(rig.run(&["suspend", device, "--reason", "audit"]).status.success());
    rig.kill();
    let database = rusqlite::Connection::open(rig.dir.path().join("state/control-plane.sqlite")).unwrap();
    let body: Vec<u8> =
        database.query_row("SELECT body FROM record WHERE sequence = 1", [], |row| row.get(0)).unwrap();
    let place = body.windows(6).position(|bytes| bytes == b"gate 4").unwrap();
    let mut altered = body.clone();
    altered[place] = b'G';
    database.execute("UPDATE record SET body = ?1 WHERE sequence = 1", [altered]).unwrap();
    drop(database);

    rig.start();
    let checked = rig.run(&["records", device, "--verify"]);
    assert_eq!(checked.status.code(), Some(1));
    let failures = &json(&checked)["failures"];
    assert_eq!((&failures[0]["sequence"], &failures[0]["check"]), (&1.into(), &"chain".into()));
    assert_eq!(failures.as_array().unwrap().len(), 1);
    assert_eq!(json(&rig.run(&["records", device]))["error"], "chain-broken");
}
