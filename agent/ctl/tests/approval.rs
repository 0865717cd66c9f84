//! Approvals at the device: keys, confirmations, and statements that are never signed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::keys::{Agent, key, verifies};
use common::session::{Look, Script, body, entitled, statement, waiting};
use common::{Run, Server, command, problem, reply};
use pawl_proto::message::{ShortText, Statement, StatementBytes};
use serde_json::{Value, json};
use tempfile::tempdir;

fn asked(statement: &Statement, more: Value) -> Look {
    entitled().waiting(statement, waiting(more))
}

fn digest(statement: &Statement) -> String {
    StatementBytes::of(statement).unwrap().to_be_signed()
}

/// Returns a device whose session is approved by the next submitted step.
fn approved_by_the_next_step() -> Server {
    let waits = asked(&statement(), json!({}));
    Script::new(entitled(), [waits]).then(entitled().stage("ending"), [Look::done()]).serve()
}

fn submitted(server: &Server) -> Value {
    body(&server.wait_for("POST /v1/session/approval "))
}

#[test]
fn a_key_file_approves_the_shown_statement() {
    let directory = tempdir().unwrap();
    let alice = key(directory.path(), "alice", "");
    let server = approved_by_the_next_step();
    let run = server.pawlctl(&["re-pair", "--sign-with", alice.to_str().unwrap(), "--yes"]);
    assert_eq!(run.code, 0, "{run:?}");
    let approval = submitted(&server);
    let stated = StatementBytes::of(&statement()).unwrap();
    assert_eq!(approval["statement"], hex::encode(stated.0.as_bytes()));
    let signature = approval["signature"].as_str().unwrap();
    assert!(verifies(directory.path(), &alice, &digest(&statement()), signature));
    for line in [
        "(ssh-ed25519, alice)\n",
        "  device    abcdefghijklmnopqrstuvwxyz234567\n",
        "  origin    uid 0; script\n",
        "  opened    2027-01-15 08:00:00 UTC\n",
        "\nsigned\napproved; ending the old pairing\n",
    ] {
        assert!(run.stderr.contains(line), "{line}: {run:?}");
    }
    assert!(!run.stderr.contains("BCDF"), "no code is needed: {run:?}");
}

#[test]
fn an_agent_approves() {
    let directory = tempdir().unwrap();
    let alice = key(directory.path(), "alice", "");
    let agent = Agent::with(directory.path(), &alice);
    std::fs::remove_file(&alice).unwrap();
    for name in ["agent", alice.with_extension("pub").to_str().unwrap()] {
        let server = approved_by_the_next_step();
        let mut command = command(&server.socket(), &["re-pair", "--json", "--yes", "--sign-with", name]);
        let run = Run::from(command.env("SSH_AUTH_SOCK", &agent.socket).output().unwrap());
        assert_eq!(run.code, 0, "{run:?}");
        let signature = submitted(&server)["signature"].as_str().unwrap().to_owned();
        assert!(verifies(directory.path(), &alice, &digest(&statement()), &signature));
    }
}

#[test]
fn a_missing_key_opens_no_session() {
    for (arguments, code) in [
        (&["re-pair", "--sign-with", "/nowhere/key", "--yes"][..], 1),
        (&["re-pair", "--sign-with", "agent", "--yes"], 1),
        (&["re-pair", "--sign-with", "/nowhere/key"], 64),
    ] {
        let server = Script::new(entitled(), []).serve();
        let run = server.pawlctl(arguments);
        assert_eq!(run.code, code, "{run:?}");
        assert!(server.requests().iter().all(|request| request.starts_with("GET /v1/status ")), "{run:?}");
    }
}

#[test]
fn a_statement_that_was_not_requested_is_not_signed() {
    let directory = tempdir().unwrap();
    let alice = key(directory.path(), "alice", "");
    let other_origin =
        Statement { origin: ShortText::new("uid 0; ssh 198.51.100.1").unwrap(), ..statement() };
    let action = Statement { action: ShortText::new("firmware-update").unwrap(), ..statement() };
    let other_device =
        Statement { device: "abcdefghijklmnopqrstuvwxyz234566".parse().unwrap(), ..statement() };
    for (field, statement) in [("origin", other_origin), ("action", action), ("device", other_device)] {
        let server = Script::new(entitled(), [asked(&statement, json!({}))]).serve();
        let run = server.pawlctl(&["re-pair", "--sign-with", alice.to_str().unwrap(), "--yes"]);
        let expected = format!("nothing was signed: the statement differs from your request ({field})");
        assert!(run.code == 1 && run.stderr.contains(&expected), "{run:?}");
        let requests = server.requests();
        let given_up = requests.iter().filter(|request| request.starts_with("DELETE /v1/session ")).count();
        assert_eq!(given_up, 1, "{requests:?}");
        assert!(!requests.iter().any(|request| request.contains("/approval")), "{requests:?}");
    }
}

#[test]
fn a_rejected_approval_leaves_the_session_open() {
    let directory = tempdir().unwrap();
    let alice = key(directory.path(), "alice", "");
    let refused = json!({"refused": "the control plane does not take it", "tries_left": 4});
    let server = Script::new(entitled(), [asked(&statement(), json!({}))])
        .then(asked(&statement(), refused), [])
        .serve();
    let run = server.pawlctl(&["re-pair", "--sign-with", alice.to_str().unwrap(), "--yes"]);
    assert_eq!(run.code, 76, "{run:?}");
    let expected = "pawlctl: the control plane does not take it; the session stays open\n  \
                    to do: approve with another key";
    assert!(run.stderr.contains(expected), "{run:?}");
    assert!(!server.requests().iter().any(|request| request.starts_with("DELETE")));
}

#[test]
fn a_second_person_gets_the_code_after_the_first_has_signed() {
    let directory = tempdir().unwrap();
    let alice = key(directory.path(), "alice", "");
    let half = asked(&statement(), json!({"needed": 2, "approved": ["alice"]}));
    let server = Script::new(entitled(), [asked(&statement(), json!({"needed": 2}))])
        .then(half.clone(), [half, Look::done()])
        .serve();
    let run = server.pawlctl(&["re-pair", "--sign-with", alice.to_str().unwrap(), "--yes"]);
    assert_eq!(run.code, 0, "{run:?}");
    let (_, later) = run.stderr.split_once("signed\napproved by alice: 1 of 2\n").unwrap();
    assert!(later.contains("BCDF-GHJK-LMNP"), "{run:?}");
}

#[test]
fn an_approval_is_retried_while_the_control_plane_is_unreachable() {
    let directory = tempdir().unwrap();
    let alice = key(directory.path(), "alice", "");
    let server = Script::new(entitled(), [asked(&statement(), json!({}))])
        .then_refuse(reply(503, &problem("control-plane-unreachable", "no route")))
        .then(entitled().stage("ending"), [Look::done()])
        .serve();
    let run = server.pawlctl(&["re-pair", "--sign-with", alice.to_str().unwrap(), "--yes"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("signed\nnot sent yet: no route; retrying\napproved"), "{run:?}");
    assert_eq!(submitted(&server), submitted(&server), "the same approval twice");
}

#[test]
fn a_confirmation_is_submitted_for_the_open_session() {
    let waits = asked(&statement(), json!({"unconfirmed": 1}));
    let server =
        Script::new(waits.clone(), [waits.clone()]).then(waits.stage("ending"), [Look::done()]).serve();
    let run = server.pawlctl(&["re-pair", "--confirm", "bcdf ghjk"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.starts_with("confirmation code sent\n"), "{run:?}");
    let requests = server.requests();
    let confirmation = requests.iter().find(|request| request.starts_with("POST")).unwrap();
    assert!(
        confirmation.starts_with("POST /v1/session/confirmation ")
            && body(confirmation)["code"] == "BCDF-GHJK"
    );
}

#[test]
fn a_wrong_confirmation_is_reported() {
    let waits = asked(&statement(), json!({"unconfirmed": 1}));
    let refused = json!({"unconfirmed": 1, "refused": "it is another one", "tries_left": 4});
    let server = Script::new(waits.clone(), [waits]).then(asked(&statement(), refused), []).serve();
    let run = server.pawlctl(&["re-pair", "--confirm", "BCDF-GHJK"]);
    assert_eq!(run.code, 76, "{run:?}");
    assert!(run.stderr.contains("confirmation code rejected: it is another one"), "{run:?}");
}

#[test]
fn attaching_needs_an_open_session() {
    for before in [entitled(), entitled().failed("declined", "no"), Look::done()] {
        for arguments in [&["re-pair", "--attach"][..], &["re-pair", "--confirm", "BCDF-GHJK"]] {
            let run = Script::new(before.clone(), []).serve().pawlctl(arguments);
            assert!(run.code == 1 && run.stderr.contains("no session is open on this device"), "{run:?}");
        }
    }
}

#[test]
fn another_command_can_approve_the_open_session() {
    let directory = tempdir().unwrap();
    let alice = key(directory.path(), "alice", "");
    let elsewhere = Statement {
        origin: ShortText::new("uid 0; ssh 192.0.2.7").unwrap(),
        reason: ShortText::new("new board").unwrap(),
        ..statement()
    };
    let waits = asked(&elsewhere, json!({}));
    let server = Script::new(waits.clone(), [waits]).then(entitled().stage("ending"), [Look::done()]).serve();
    let run = server.pawlctl(&["re-pair", "--attach", "--sign-with", alice.to_str().unwrap(), "--yes"]);
    assert_eq!(run.code, 0, "{run:?}");
    let signature = submitted(&server)["signature"].as_str().unwrap().to_owned();
    assert!(verifies(directory.path(), &alice, &digest(&elsewhere), &signature));
}
