//! `pawlctl` with valid and hostile answers of the daemon.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::{ENTITLED, Server, command_without_socket, pawlctl, problem, reply};

#[test]
fn wrong_usage_and_help_have_their_exit_codes() {
    let nowhere = Path::new("/nowhere");
    assert_eq!(pawlctl(nowhere, &["statu"]).code, 64);
    assert_eq!(pawlctl(nowhere, &["wipe"]).code, 64);
    let help = pawlctl(nowhere, &["--help"]);
    assert_eq!(help.code, 0);
    assert!(help.stdout.contains("Exit codes:"));
}

#[test]
fn without_a_daemon_the_remedy_is_to_start_it() {
    let directory = tempfile::tempdir().unwrap();
    for command in [
        &["status"][..],
        &["pair"],
        &["re-pair"],
        &["re-pair", "--attach"],
        &["action", "--attach", "00000000000000000000000000000001"],
        &["records"],
        &["token", "a"],
        &["wipe", "--reason", "x", "--yes"],
    ] {
        let run = pawlctl(&directory.path().join("socket"), command);
        assert_eq!(run.code, 69, "{run:?}");
        assert!(run.stdout.is_empty() && run.stderr.contains("systemctl start pawld"), "{run:?}");
    }
    let run = pawlctl(&directory.path().join("socket"), &["status", "--json"]);
    assert_eq!(run.json()["error"], "daemon-unreachable");
}

#[test]
fn a_status_is_shown() {
    let server = Server::always(reply(200, ENTITLED));
    let run = server.pawlctl(&["status"]);
    assert_eq!(run.code, 0);
    assert!(run.stdout.starts_with("entitled\n  device    abcdefghijklmnopqrstuvwxyz234567\n"), "{run:?}");
    let run = server.pawlctl(&["status", "--json"]);
    assert_eq!((run.json()["state"].as_str(), run.stdout.lines().count()), (Some("entitled"), 1));
}

#[test]
fn a_token_is_printed_alone() {
    let server = Server::always(reply(
        200,
        r#"{"access_token":"a.b.c","token_type":"DPoP","expires_at":1,"scope":"x"}"#,
    ));
    assert_eq!(server.pawlctl(&["token", "telemetry"]).stdout, "a.b.c\n");
    assert!(server.requests()[0].starts_with("GET /v1/tokens/telemetry HTTP/1.1\r\n"));
}

#[test]
fn a_token_with_a_proof_is_printed_as_header_lines() {
    let server = Server::always(reply(
        200,
        r#"{"access_token":"a.b.c","token_type":"DPoP","expires_at":1,"scope":"x","dpop":"p"}"#,
    ));
    let run = server.pawlctl(&["token", "a", "--method", "GET", "--url", "https://api.example/v1?a=b&c=d e"]);
    assert_eq!(run.stdout, "Authorization: DPoP a.b.c\nDPoP: p\n");
    let expected =
        "GET /v1/tokens/a?method=GET&url=https%3A%2F%2Fapi.example%2Fv1%3Fa%3Db%26c%3Dd%20e HTTP/1.1\r\n";
    assert!(server.requests()[0].starts_with(expected));
}

#[test]
fn a_refused_token_has_another_exit_code_than_a_refused_command() {
    let server = Server::always(reply(403, &problem("revoked", "revoked by the operator")));
    for (arguments, code) in [
        (&["token", "a"][..], 10),
        (&["wipe", "--reason", "x", "--yes"], 77),
        (&["status"], 77),
        (&["evidence", "--export", "/proc/nowhere"], 1),
    ] {
        let run = server.pawlctl(arguments);
        assert_eq!(run.code, code, "{run:?}");
        assert!(run.stdout.is_empty());
    }
    let run = server.pawlctl(&["token", "a"]);
    assert_eq!(run.stderr, "pawlctl: revoked by the operator\n  to do: call the operator\n");
    let missing = Server::always(reply(404, &problem("no-such-token", "there is no token b")));
    assert_eq!(missing.pawlctl(&["token", "b"]).code, 1);
}

#[test]
fn a_wipe_says_which_epoch_ended() {
    let server = Server::always(reply(200, r#"{"ended": 7, "epoch": 8}"#));
    let run = server.pawlctl(&["wipe", "--reason", "device stolen", "--yes"]);
    assert_eq!(run.code, 0);
    assert!(run.stdout.contains("epoch 7 has ended; the TPM counter is now 8"), "{run:?}");
    assert!(server.requests()[0].ends_with(r#"{"reason":"device stolen"}"#));
    let run = server.pawlctl(&["wipe", "--reason", "x", "--yes", "--json"]);
    assert_eq!(run.stdout, "{\"ended\":7,\"epoch\":8}\n");
}

#[test]
fn without_a_terminal_nothing_ends_unless_yes_is_given() {
    for command in [&["wipe", "--reason", "x"][..], &["deprovision"]] {
        let server = Server::always(reply(200, r#"{"ended": 7, "epoch": 8}"#));
        let run = server.pawlctl(command);
        assert_eq!(run.code, 64, "{run:?}");
        assert!(run.stderr.contains("there is no terminal to ask at: nothing was done"), "{run:?}");
        assert!(run.stderr.contains(&format!("pawlctl {} --yes", command[0])), "{run:?}");
        assert!(server.requests().is_empty(), "{:?}", server.requests());
    }
}

#[test]
fn a_daemon_that_closes_the_connection_is_asked_again_and_then_reported() {
    let server = Server::always(Vec::new());
    let run = server.pawlctl(&["token", "a"]);
    assert_eq!(run.code, 69, "{run:?}");
    assert!(run.stderr.contains("closed the connection") && run.stdout.is_empty(), "{run:?}");
    assert!(server.requests().len() > 1, "the request was not repeated");
}

#[test]
fn hostile_answers_are_refused_and_not_repeated() {
    let endless_head = format!("HTTP/1.1 200 X\r\n{}", "x: y\r\n".repeat(100_000));
    let endless_body =
        format!("HTTP/1.1 200 X\r\ncontent-length: 10000000\r\n\r\n{}", "\"".repeat(10_000_000));
    let deep = reply(200, &"[".repeat(100_000));
    for (answer, complaint) in [
        (b"\x00\xff\x00".to_vec(), "no HTTP answer"),
        (endless_head.into_bytes(), "no HTTP answer"),
        (endless_body.into_bytes(), "more than 262144 bytes"),
        (b"HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\n{".to_vec(), "ended early"),
        (reply(200, ""), "invalid JSON in column 0"),
        (reply(200, "s3cret"), "invalid JSON in column 1"),
        (reply(200, "{\"access_token\":\"s3cret\"}"), "invalid JSON in column"),
        (deep, "invalid JSON in column"),
        (reply(500, "s3cret"), "500 Internal Server Error without a problem"),
        (reply(301, "{}"), "301 Moved Permanently without a problem"),
        (reply(403, "{\"error\": 1}"), "403 Forbidden without a problem"),
    ] {
        let server = Server::always(answer);
        let run = server.pawlctl(&["token", "a"]);
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains(complaint), "{complaint}: {run:?}");
        assert!(run.stdout.is_empty() && !run.stderr.contains("s3cret"), "{run:?}");
    }
}

#[test]
fn a_reason_cannot_control_the_terminal() {
    let server = Server::always(reply(409, &problem("x", "\\u001b[2Jgone")));
    let run = server.pawlctl(&["status"]);
    assert_eq!(run.stderr, "pawlctl: \u{fffd}[2Jgone\n  to do: call the operator\n");
}

const EVIDENCE: &str = r#"{
    "attest": "ff54", "signature": "0018", "ak_pem": "-----BEGIN PUBLIC KEY-----\n", "nonce": "00aa",
    "pcrs": {"10": "bb", "2": "aa"}, "boot_log": null, "ima_log": "6162", "notes": ["no boot log here"]
}"#;

#[test]
fn evidence_is_written_completely_and_only_for_its_owner() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("a/b");
    let arguments = ["evidence", "--export", target.to_str().unwrap()];
    let server = Server::always(reply(200, EVIDENCE));
    let run = server.pawlctl(&arguments);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.stderr, "no boot log here\n");
    for (file, bytes) in [
        ("attest.bin", &b"\xff\x54"[..]),
        ("signature.bin", b"\x00\x18"),
        ("ak.pem", b"-----BEGIN PUBLIC KEY-----\n"),
        ("pcrs.bin", b"\xaa\xbb"),
        ("nonce.hex", b"00aa\n"),
        ("ima.txt", b"ab"),
    ] {
        let path = target.join(file);
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{file}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        assert!(run.stdout.contains(path.to_str().unwrap()));
    }
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 6, "no bootlog.bin, no partial file");

    let run = server.pawlctl(&arguments);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("--force"), "{run:?}");

    std::fs::write(target.join("bootlog.bin"), "an earlier export's").unwrap();
    let run = server.pawlctl(&[&arguments[..], &["--force", "--json"]].concat());
    assert_eq!(run.json()["files"].as_array().unwrap().len(), 6, "{run:?}");
    assert!(!target.join("bootlog.bin").exists());
}

#[test]
fn a_verifiers_nonce_reaches_the_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::always(reply(200, EVIDENCE));
    let nonce = "0A".repeat(32);
    server.pawlctl(&["evidence", "--export", directory.path().to_str().unwrap(), "--nonce", &nonce]);
    let expected = format!("GET /v1/evidence?nonce={} HTTP/1.1\r\n", "0a".repeat(32));
    assert!(server.requests()[0].starts_with(&expected));
}

#[test]
fn evidence_that_is_not_hexadecimal_is_not_written() {
    for (good, bad) in [("ff54", "ff5"), ("00aa", "$(id)"), ("\"aa\"", "\"..\"")] {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::always(reply(200, &EVIDENCE.replace(good, bad)));
        let run = server.pawlctl(&["evidence", "--export", directory.path().to_str().unwrap()]);
        assert_eq!(run.code, 1, "{run:?}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

/// pawlctl finds systemctl and journalctl on PATH; here these are scripts.
#[test]
fn a_daemon_that_refused_its_configuration_is_reported_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    script(
        "systemctl",
        "printf 'LoadState=loaded\\nActiveState=failed\\nResult=exit-code\\nExecMainStatus=78\\nInvocationID=12\\n'\n",
    );
    script("journalctl", "echo '{\"MESSAGE\":\"control_plane.ca: no such file\"}'\n");
    // The host's PATH follows: on a machine of another architecture, it contains the emulator that runs pawlctl.
    let host = std::env::var_os("PATH").unwrap();
    let path = std::iter::once(directory.path().to_owned()).chain(std::env::split_paths(&host));
    let path = std::env::join_paths(path).unwrap();
    for command in ["status", "token telemetry", "wipe --yes --reason x"] {
        let mut pawlctl = command_without_socket(&command.split(' ').collect::<Vec<_>>());
        pawlctl.env("PATH", &path);
        let run = pawlctl.output().unwrap();
        let said = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(78), "{said}");
        assert!(
            said.contains("pawld does not run (exit status 78): control_plane.ca: no such file"),
            "{said}"
        );
        assert!(said.contains("systemctl restart pawld"), "{said}");
    }
}
