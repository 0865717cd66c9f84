//! `pawlctl pair` and `pawlctl re-pair` without a terminal: their output, their requests and their exit codes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::session::{Look, Script, body, entitled, statement, unpaired, waiting};
use common::{Server, command, problem, reply};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

const PAIRED: &str = "paired with Example fleet: device abcdefghijklmnopqrstuvwxyz234567, epoch 8; EK verified by certificate\n";

/// Returns a session that the policy approves without a person.
fn unattended() -> Script {
    let look = entitled();
    Script::new(
        look.clone(),
        [look.stage("opening"), look.stage("ending"), look.stage("pairing"), Look::done()],
    )
}

#[test]
fn the_finding_and_the_ending_pairing_are_shown_before_the_request() {
    let server = unattended().serve();
    let run = server.pawlctl(&["re-pair", "--reason", "new board", "--scope", "telemetry"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, PAIRED), "{run:?}");
    let expected = "\
re-pairing device abcdefghijklmnopqrstuvwxyz234567
  found     same TPM, same disk
  ends      pairing 00000000000000000000000000000001 of epoch 7 with Example fleet, with its keys and scopes: telemetry
            all of this ends at the approval, not before
  new       pairing with the scopes: telemetry
  reason    new board
opening a session with the control plane
approved; ending the old pairing
creating the new pairing
";
    assert_eq!(run.stderr, expected);
    let asked = body(&server.wait_for("POST /v1/pair "));
    let expected = json!({
        "reason": "new board", "scopes": ["telemetry"], "replaces": null, "again": true, "origin": "script"
    });
    assert_eq!(asked, expected);
}

#[test]
fn a_first_pairing_shows_the_same_stages() {
    let look = unpaired();
    let server =
        Script::new(look.clone(), [look.stage("opening"), look.stage("pairing"), Look::done()]).serve();
    let run = server.pawlctl(&["pair"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, PAIRED), "{run:?}");
    assert!(run.stderr.starts_with("pairing device"), "{run:?}");
    assert!(run.stderr.ends_with("approved\ncreating the new pairing\n"), "{run:?}");
    assert_eq!(body(&server.wait_for("POST /v1/pair "))["again"], false);
}

#[test]
fn the_origin_is_the_address_that_sshd_names() {
    let server = unattended().serve();
    let mut command = command(&server.socket(), &["re-pair"]);
    let output = command.env("SSH_CONNECTION", "192.0.2.7 50022 192.0.2.1 22").output().unwrap();
    assert!(output.status.success());
    assert_eq!(body(&server.wait_for("POST /v1/pair "))["origin"], "ssh 192.0.2.7");
}

#[test]
fn a_waiting_session_shows_everything_that_an_approver_needs() {
    let look = entitled();
    let statement = statement();
    let two = |more| look.waiting(&statement, waiting(more));
    let server = Script::new(
        look.clone(),
        [
            two(json!({"needed": 2})),
            two(json!({"needed": 2, "refused": "another device's approval", "tries_left": 4})),
            two(json!({"needed": 2, "approved": ["alice"], "tries_left": 4})),
            two(json!({"needed": 2, "approved": ["alice"], "tries_left": 4, "unconfirmed": 1})),
            Look::done(),
        ],
    )
    .serve();
    let run = server.pawlctl(&["re-pair"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, PAIRED), "{run:?}");
    let (_, waited) = run.stderr.split_once("opening a session with the control plane\n").unwrap();
    let expected = format!(
        "\
waiting for approval by 2 persons
  action    re-pair
  origin    uid 0; script
  scopes    telemetry
  known as  pump 4
  ends      pairing 01010101010101010101010101010101 of epoch 7, made 2026-09-21 14:13:20 UTC, with the scopes telemetry updates
  lost      updates (to keep them, press Ctrl-C and name every scope with --scope)
  digest    {}

  Give the approver this code:

    BCDF-GHJK-LMNP

  The approver enters it at
    https://control.example/approve
  or approves here with an SSH key:
    pawlctl re-pair --attach --sign-with KEY
another device's approval; 4 tries left
approved by alice: 1 of 2
an approver elsewhere signed; type the confirmation code the approver reads to you: pawlctl re-pair --attach --confirm CODE
approved; ending the old pairing
creating the new pairing
",
        pawl_proto::message::StatementBytes::of(&statement).unwrap().to_be_signed()
    );
    assert_eq!(waited, expected);
}

#[test]
fn a_program_gets_a_line_for_each_change() {
    let look = entitled();
    // The daemon computes the expiry for each query; a difference is not a change.
    let asked = |expires: u64| look.waiting(&statement(), waiting(json!({"expires": expires})));
    let looks = [look.stage("opening"), asked(4_000_000_000), asked(4_000_000_001), Look::done()];
    let server = Script::new(look.clone(), looks).serve();
    let run = server.pawlctl(&["re-pair", "--json"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    let lines = run.json_lines();
    let of = |line: &serde_json::Value| match line["event"].as_str() {
        Some("session") => format!("session {}", line["session"]["stage"].as_str().unwrap()),
        Some("state") => format!("state {}", line["state"].as_str().unwrap()),
        Some("found") => format!("found {}", line["finding"].as_str().unwrap()),
        _ => format!("outcome {}", line["state"].as_str().unwrap()),
    };
    let expected = [
        "found nothing-changed",
        "session opening",
        "state entitled",
        "session waiting",
        "session done",
        "outcome entitled",
    ];
    assert_eq!(lines.iter().map(of).collect::<Vec<_>>(), expected);
    assert_eq!(lines[3]["session"]["waiting"]["user_code"], "BCDF-GHJK-LMNP");
    assert_eq!(lines[0]["pairing"]["id"], "00000000000000000000000000000001");
}

#[test]
fn a_failed_session_shows_the_reason() {
    let look = entitled();
    for (error, code) in [("declined", 76), ("expired", 76), ("no-approvers", 76), ("tpm", 1)] {
        let server =
            Script::new(look.clone(), [look.stage("opening"), look.failed(error, "bob said no")]).serve();
        let run = server.pawlctl(&["re-pair"]);
        assert_eq!(run.code, code, "{run:?}");
        let expected = "pawlctl: bob said no; nothing has changed: the old pairing still works\n  \
                        to do: call the operator\n";
        assert!(run.stdout.is_empty() && run.stderr.ends_with(expected), "{run:?}");
    }
    let server = Script::new(look.clone(), [look.failed("declined", "bob said no")]).serve();
    let run = server.pawlctl(&["re-pair", "--json"]);
    assert_eq!((run.code, run.json_lines().last().unwrap()["error"].as_str()), (76, Some("declined")));
}

#[test]
fn a_pairing_without_a_lease_is_not_entitled() {
    let server = Script::new(entitled(), [Look::done().in_state("lapsed", "contraindicated")]).serve();
    let run = server.pawlctl(&["re-pair"]);
    assert!(run.code == 10 && run.stderr.contains("pawlctl: contraindicated"), "{run:?}");
}

#[test]
fn a_pairing_that_the_device_resumed_itself_is_followed() {
    let begun = |error: &'static str| {
        Server::new(move |request| match request.split(" HTTP").next().unwrap() {
            "POST /v1/pair" => reply(409, &problem(error, "no")),
            "GET /v1/session" => reply(404, &problem("no-session", "none")),
            _ => reply(200, common::ENTITLED),
        })
    };
    assert_eq!(begun("pairing").pawlctl(&["pair"]).code, 0);
    assert_eq!(begun("already-paired").pawlctl(&["pair"]).code, 1);
}

#[test]
fn another_session_ends_this_one() {
    let look = entitled();
    let looks = [look.stage("waiting"), look.stage("opening").of_another_session()];
    let run = Script::new(look, looks).serve().pawlctl(&["re-pair"]);
    assert!(run.code == 1 && run.stderr.contains("another session was opened"), "{run:?}");
}

#[test]
fn a_restarted_daemon_has_lost_an_unapproved_session() {
    let look = entitled();
    let run = Script::new(look.clone(), [look.stage("waiting"), look]).serve().pawlctl(&["re-pair"]);
    assert!(run.code == 1 && run.stderr.contains("nothing has changed\n  to do: start again"), "{run:?}");
}

#[test]
fn a_stopped_daemon_keeps_an_approved_pairing() {
    for (stage, holds) in [
        ("waiting", "nothing has changed unless an approver approved in the meantime"),
        ("pairing", "the pairing is approved, and pawld completes it as soon as it runs"),
    ] {
        let mut alive = 3;
        let look = entitled().stage(stage);
        let mut script = Script::new(entitled(), [look]);
        let server = Server::new(move |request| {
            alive -= u32::from(request.starts_with("GET /v1/session"));
            if alive == 0 {
                reply(503, &problem("stopping", "the daemon is stopping"))
            } else {
                script.answer(request)
            }
        });
        let run = server.pawlctl(&["re-pair"]);
        assert_eq!(run.code, 69, "{run:?}");
        assert!(run.stderr.contains(holds) && run.stderr.contains("systemctl start pawld"), "{run:?}");
    }
}

#[test]
fn a_busy_tpm_is_asked_again() {
    let mut busy = true;
    let mut script = unattended();
    let server = Server::new(move |request| {
        if busy && request.starts_with("GET /v1/session") {
            busy = false;
            return reply(503, &problem("tpm", "the TPM is busy"));
        }
        script.answer(request)
    });
    assert_eq!(server.pawlctl(&["re-pair"]).code, 0);
}

#[test]
fn a_timeout_leaves_the_session_open() {
    let look = entitled();
    let asked = look.waiting(&statement(), waiting(json!({})));
    let server = Script::new(look.clone(), [asked]).serve();
    let run = server.pawlctl(&["re-pair", "--timeout", "1"]);
    assert_eq!(run.code, 75, "{run:?}");
    let expected = "pawlctl: not approved after 1 s; nothing has changed; the session stays open\n  \
                    to do: continue waiting with: pawlctl re-pair --attach\n";
    assert!(run.stderr.ends_with(expected), "{run:?}");
    assert!(!server.requests().iter().any(|request| request.starts_with("DELETE")));

    let lost = unpaired().stage("opening").in_state("pairing", "no route to the control plane");
    let run = Script::new(unpaired(), [lost]).serve().pawlctl(&["pair", "--timeout", "1"]);
    assert!(run.code == 75 && run.stderr.contains("pawlctl: no route to the control plane"), "{run:?}");
}

/// Interrupts `pawlctl` once it has queried the session.
fn interrupt(script: Script, arguments: &[&str], signal: Signal) -> (common::Run, Vec<String>) {
    let server = script.serve();
    let mut command = command(&server.socket(), arguments);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let process = command.spawn().unwrap();
    // pawlctl sends the second query after it has handled the first.
    server.wait_for("GET /v1/session");
    server.wait_for("GET /v1/session");
    kill_process(Pid::from_child(&process), signal).unwrap();
    let run = common::Run::from(process.wait_with_output().unwrap());
    (run, server.requests())
}

fn gave_up(requests: &[String]) -> bool {
    requests.iter().any(|request| request.starts_with("DELETE /v1/session "))
}

#[test]
fn an_interrupt_cancels_the_session() {
    let look = entitled();
    let asked = look.waiting(&statement(), waiting(json!({})));
    for signal in [Signal::INT, Signal::TERM] {
        let script = Script::new(look.clone(), [asked.clone()]);
        let (run, requests) = interrupt(script, &["re-pair"], signal);
        assert_eq!(run.code, 130, "{run:?}");
        let expected = "pawlctl: interrupted: the session was cancelled; nothing has changed: the old pairing still works\n";
        assert!(run.stderr.ends_with(expected) && gave_up(&requests), "{run:?}");
    }
}

#[test]
fn an_interrupt_does_not_cancel_an_approved_session() {
    let look = entitled();
    let (run, requests) =
        interrupt(Script::new(look.clone(), [look.stage("pairing")]), &["re-pair"], Signal::INT);
    assert!(run.code == 130 && run.stderr.contains("the daemon completes it"), "{run:?}");
    assert!(!gave_up(&requests), "{requests:?}");

    let asked = look.waiting(&statement(), waiting(json!({})));
    let script = Script::new(look, [asked]).given_up(reply(409, &problem("approved", "too late")));
    let (run, requests) = interrupt(script, &["re-pair"], Signal::INT);
    assert!(run.code == 130 && run.stderr.contains("the daemon completes it"), "{run:?}");
    assert!(gave_up(&requests), "{requests:?}");
}

#[test]
fn a_session_of_another_command_is_left_open() {
    let asked = entitled().waiting(&statement(), waiting(json!({})));
    let (run, requests) =
        interrupt(Script::new(asked.clone(), [asked]), &["re-pair", "--attach"], Signal::INT);
    assert!(run.code == 130 && run.stderr.contains("the session stays open"), "{run:?}");
    assert!(!gave_up(&requests), "{requests:?}");
}
