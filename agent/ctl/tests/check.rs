//! `pawlctl check` as a process: its list, its JSON and its exit codes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use common::{ENTITLED, Run, Server, pawlctl, reply, status};

/// Returns the result and the remedy of one check.
fn found(run: &Run, check: &str) -> (String, String) {
    let list = run.json();
    let finding = list.as_array().unwrap().iter().find(|finding| finding["check"] == check);
    let finding = finding.unwrap_or(&serde_json::Value::Null);
    let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    (text("result"), text("remedy"))
}

#[test]
fn without_a_configuration_the_other_checks_run() {
    let server = Server::always(reply(200, ENTITLED));
    let run = server.pawlctl(&["check", "--json", "--config", "/nowhere/pawl.toml"]);
    assert_eq!(run.code, 78, "{run:?}");
    assert_eq!(found(&run, "configuration").0, "failed");
    for check in ["daemon", "tpm", "ek-certificate", "broker"] {
        assert_eq!(found(&run, check).0, "ok", "{check}: {run:?}");
    }
}

#[test]
fn each_fault_is_named_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pawl.toml");
    fs::write(
        &file,
        "state_dir = \"/nowhere\"\n[control_plane]\nurl = \"https://host.invalid\"\nca = \"/nowhere/ca.pem\"\n\
         [tpm]\ntcti = \"device:/nowhere/tpm\"\n[logs]\nboot = \"/nowhere/boot\"\nima = \"/nowhere/ima\"\n",
    )
    .unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let socket = directory.path().join("socket");
    let run = pawlctl(&socket, &["check", "--json", "--config", file.to_str().unwrap()]);
    assert_eq!(run.code, 1, "{run:?}");
    for (check, result, remedy) in [
        ("configuration", "failed", "chmod go-w"),
        ("daemon", "failed", "systemctl start pawld"),
        ("state-dir", "warning", "start pawld with systemd"),
        ("control-plane-ca", "failed", "control_plane.ca"),
        ("tpm", "failed", "firmware"),
        ("boot-log", "warning", "securityfs"),
        ("ima-log", "warning", "ima_policy"),
        ("dns", "failed", "name server"),
    ] {
        let (found, advice) = found(&run, check);
        assert!(found == result && advice.contains(remedy), "{check}: {found}, {advice}");
    }
}

#[test]
fn a_problem_of_the_daemon_is_a_warning() {
    let server = Server::always(reply(200, &status("lapsed", "the lease ran out")));
    let run = server.pawlctl(&["check", "--json", "--config", "/nowhere"]);
    assert_eq!(found(&run, "daemon"), ("warning".to_owned(), "call the operator".to_owned()));
    let people = server.pawlctl(&["check", "--config", "/nowhere"]);
    assert!(people.stdout.contains("warning  daemon            lapsed: the lease ran out\n"), "{people:?}");
}
