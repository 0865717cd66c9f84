//! `pawlctl action`: it prints only the assurance, or the reason of the failure.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::keys::{key, verifies};
use common::session::{self, body, statement, waiting};
use common::{ENTITLED, Server, problem, reply};
use pawl_proto::Digest;
use pawl_proto::message::{ShortText, Statement, StatementBytes};
use serde_json::{Value, json};
use tempfile::tempdir;

const ID: &str = "02020202020202020202020202020202";

fn arguments(file: &str) -> Vec<&str> {
    vec!["action", "update", "--resource", "/dev/mtd0", "--file", file, "--session", "job 9"]
}

/// Returns the statement of that action.
fn update() -> Statement {
    Statement {
        action: ShortText::new("update").unwrap(),
        resource: Some(ShortText::new("/dev/mtd0").unwrap()),
        subject: Some(Digest::of(b"firmware")),
        context: Some(ShortText::new("job 9").unwrap()),
        scopes: Vec::new(),
        audiences: Vec::new(),
        granted: None,
        ..statement()
    }
}

fn status(statement: &Statement, more: Value) -> Value {
    let asked = session::asked(statement);
    let mut status = json!({"id": ID, "asked": asked, "waiting": null, "assurance": null, "problem": null});
    for (key, value) in more.as_object().unwrap() {
        status[key] = value.clone();
    }
    status
}

fn assured() -> Vec<u8> {
    reply(200, &status(&update(), json!({"assurance": "h.c.s"})).to_string())
}

fn waits(code: u16, more: Value) -> Vec<u8> {
    reply(code, &status(&update(), json!({"waiting": waiting(more)})).to_string())
}

/// Returns a daemon that answers requests that begin with these words, each time with the next answer of the list.
fn daemon(answers: &[(&'static str, Vec<Vec<u8>>)]) -> Server {
    let mut answers = answers.to_vec();
    Server::new(move |request| {
        if request.starts_with("GET /v1/status ") {
            return reply(200, ENTITLED);
        }
        let known = answers.iter_mut().find(|(start, _)| request.starts_with(start));
        let (_, answers) = known.unwrap_or_else(|| panic!("{request}"));
        if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
    })
}

fn firmware(directory: &std::path::Path) -> String {
    let file = directory.join("firmware");
    std::fs::write(&file, "firmware").unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn an_assurance_is_printed_alone() {
    let directory = tempdir().unwrap();
    let server = daemon(&[("POST /v1/actions ", vec![assured()])]);
    let run = server.pawlctl(&arguments(&firmware(directory.path())));
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "h.c.s\n", ""), "{run:?}");
    let expected = json!({
        "action": "update", "resource": "/dev/mtd0", "digest": Digest::of(b"firmware").to_string(),
        "session": "job 9", "reason": ""
    });
    assert_eq!(body(&server.wait_for("POST /v1/actions ")), expected);
}

#[test]
fn a_waiting_action_is_followed_to_its_assurance() {
    let directory = tempdir().unwrap();
    let server = daemon(&[
        ("POST /v1/actions ", vec![waits(202, json!({}))]),
        (
            "GET /v1/actions/02020202020202020202020202020202 ",
            vec![waits(202, json!({"unconfirmed": 1})), assured()],
        ),
    ]);
    let run = server.pawlctl(&arguments(&firmware(directory.path())));
    assert_eq!((run.code, run.stdout.as_str()), (0, "h.c.s\n"), "{run:?}");
    let again = format!("pawlctl action --attach {ID}");
    for text in ["BCDF-GHJK-LMNP", &format!("{again} --sign-with KEY"), &format!("{again} --confirm CODE")] {
        assert!(run.stderr.contains(text), "{text}: {run:?}");
    }
    let run = server.pawlctl(&[&arguments(&firmware(directory.path()))[..], &["--json"]].concat());
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    let lines = run.json_lines();
    assert_eq!(lines[0]["event"], "action");
    assert_eq!(lines.last().unwrap()["assurance"], "h.c.s");
}

#[test]
fn a_key_signs_only_for_the_requested_action() {
    let directory = tempdir().unwrap();
    let (alice, file) = (key(directory.path(), "alice", ""), firmware(directory.path()));
    let arguments = [&arguments(&file)[..], &["--yes", "--sign-with", alice.to_str().unwrap()]].concat();
    let approval = "POST /v1/actions/02020202020202020202020202020202/approval ";
    let server = daemon(&[("POST /v1/actions ", vec![waits(202, json!({}))]), (approval, vec![assured()])]);
    let run = server.pawlctl(&arguments);
    assert_eq!((run.code, run.stdout.as_str()), (0, "h.c.s\n"), "{run:?}");
    let given = body(&server.wait_for(approval));
    let stated = StatementBytes::of(&update()).unwrap().to_be_signed();
    assert!(verifies(directory.path(), &alice, &stated, given["signature"].as_str().unwrap()));

    for (field, other) in [
        ("digest of the input", Statement { subject: Some(Digest([0; 32])), ..update() }),
        (
            "session of the workload",
            Statement { context: Some(ShortText::new("job 8").unwrap()), ..update() },
        ),
        ("resource", Statement { resource: None, ..update() }),
        ("action", Statement { action: ShortText::new("re-pair").unwrap(), ..update() }),
    ] {
        let waits = status(&other, json!({"waiting": waiting(json!({}))})).to_string();
        let server = daemon(&[("POST /v1/actions ", vec![reply(202, &waits)])]);
        let run = server.pawlctl(&arguments);
        assert!(run.code == 1 && run.stderr.contains(&format!("({field})")), "{run:?}");
        assert!(run.stdout.is_empty(), "{run:?}");
    }
}

#[test]
fn another_command_can_attach_to_an_action() {
    let confirmation = "POST /v1/actions/02020202020202020202020202020202/confirmation ";
    let server = daemon(&[(confirmation, vec![assured()])]);
    let run = server.pawlctl(&["action", "--attach", ID, "--confirm", "bcdfghjk"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "h.c.s\n"), "{run:?}");

    let server = daemon(&[(confirmation, vec![waits(200, json!({"refused": "it is another one"}))])]);
    let run = server.pawlctl(&["action", "--attach", ID, "--confirm", "bcdfghjk"]);
    assert!(
        run.code == 76 && run.stderr.contains("confirmation code rejected: it is another one"),
        "{run:?}"
    );

    let server = daemon(&[("GET /v1/actions/", vec![reply(404, &problem("no-session", "it is over"))])]);
    assert_eq!(server.pawlctl(&["action", "--attach", ID]).code, 1);
}

#[test]
fn a_refused_action_shows_the_reason() {
    let directory = tempdir().unwrap();
    let file = firmware(directory.path());
    for (error, code) in [("revoked", 10), ("lease-expired", 10), ("action-unknown", 76)] {
        let server = daemon(&[("POST /v1/actions ", vec![reply(403, &problem(error, "not now"))])]);
        let run = server.pawlctl(&arguments(&file));
        assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{run:?}");
        assert_eq!(run.stderr, "pawlctl: not now\n  to do: call the operator\n");
    }
    let declined: Value = serde_json::from_str(&problem("declined", "bob said no")).unwrap();
    let declined = reply(200, &status(&update(), json!({"problem": declined})).to_string());
    let server = daemon(&[("POST /v1/actions ", vec![declined])]);
    assert_eq!(server.pawlctl(&arguments(&file)).code, 76);

    let run = server.pawlctl(&arguments("/nowhere/firmware"));
    assert!(run.code == 1 && run.stderr.contains("cannot read /nowhere/firmware"), "{run:?}");
}

#[test]
fn a_timeout_leaves_the_action_open() {
    let directory = tempdir().unwrap();
    let waiting = waits(202, json!({}));
    let server = daemon(&[("POST /v1/actions ", vec![waiting.clone()]), ("GET /v1/actions/", vec![waiting])]);
    let run = server.pawlctl(&[&arguments(&firmware(directory.path()))[..], &["--timeout", "1"]].concat());
    assert_eq!(run.code, 75, "{run:?}");
    assert!(
        run.stderr.ends_with(&format!("to do: continue waiting with: pawlctl action --attach {ID}\n")),
        "{run:?}"
    );
}

#[test]
fn an_unreachable_control_plane_is_asked_again() {
    let directory = tempdir().unwrap();
    let far = reply(503, &problem("control-plane-unreachable", "no route"));
    let server = daemon(&[
        ("POST /v1/actions ", vec![waits(202, json!({}))]),
        ("GET /v1/actions/", vec![far, assured()]),
    ]);
    let run = server.pawlctl(&arguments(&firmware(directory.path())));
    assert_eq!((run.code, run.stdout.as_str()), (0, "h.c.s\n"), "{run:?}");
}
