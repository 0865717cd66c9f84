//! `pawlctl` on a terminal: the QR code, the questions, and the typed answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::keys::{key, verifies};
use common::session::{Look, Script, body, entitled, statement, waiting};
use common::terminal::Terminal;
use common::{Server, command};
use pawl_proto::message::StatementBytes;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::tempdir;

fn asked(more: Value) -> Look {
    entitled().waiting(&statement(), waiting(more))
}

fn on_terminal(server: &Server, arguments: &[&str], columns: u16) -> Terminal {
    // By its statement, a script opened the session.
    let arguments = [arguments, &["--attach"]].concat();
    let mut command = command(&server.socket(), &arguments);
    command.env("LANG", "C.UTF-8").env("TERM", "xterm");
    Terminal::run(command, columns)
}

#[test]
fn the_code_is_drawn_if_the_terminal_is_wide_enough() {
    for (arguments, columns, drawn) in
        [(&["re-pair"][..], 120, true), (&["re-pair"], 30, false), (&["re-pair", "--no-qr"], 120, false)]
    {
        let server = Script::new(asked(json!({})), vec![asked(json!({})); 2]).serve();
        let mut terminal = on_terminal(&server, arguments, columns);
        terminal.wait_for("\u{1b}[1mBCDF-GHJK-LMNP\u{1b}[0m");
        terminal.wait_for("https://control.example/approve");
        terminal.wait_for(" left");
        kill_process(Pid::from_child(terminal.process()), Signal::INT).unwrap();
        let (code, shown) = terminal.end();
        assert_eq!((code, shown.contains("▀▄")), (130, drawn), "{shown}");
    }
}

#[test]
fn the_prompt_for_a_confirmation_repeats_until_it_counts() {
    let wanted = json!({"unconfirmed": 1});
    let wrong = json!({"unconfirmed": 1, "refused": "it is another one", "tries_left": 4});
    let server = Script::new(asked(json!({})), [asked(json!({})), asked(json!({})), asked(wanted)])
        .then(asked(wrong), [])
        .then(entitled().stage("ending"), [Look::done()])
        .serve();
    let mut terminal = on_terminal(&server, &["re-pair"], 120);
    let question = "confirmation code: ";
    terminal.wait_for(question);
    terminal.type_line("bcdf");
    terminal.wait_for(question);
    terminal.type_line("bcdf ghjk");
    terminal.wait_for("it is another one; 4 tries left");
    terminal.wait_for(question);
    terminal.type_line("BCDF-GHJL");
    terminal.wait_for("approved; ending the old pairing");
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("paired with Example fleet"), "{shown}");
    let codes: Vec<_> = server
        .requests()
        .iter()
        .filter(|request| request.starts_with("POST /v1/session/confirmation "))
        .map(|request| body(request)["code"].clone())
        .collect();
    assert_eq!(codes, ["BCDF-GHJK", "BCDF-GHJL"], "an invalid code uses up no try");
}

#[test]
fn nothing_is_signed_without_a_yes() {
    let directory = tempdir().unwrap();
    let alice = key(directory.path(), "alice", "");
    let server = Script::new(asked(json!({})), [asked(json!({}))]).serve();
    let mut terminal = on_terminal(&server, &["re-pair", "--sign-with", alice.to_str().unwrap()], 120);
    terminal.wait_for("sign? [y/N] ");
    terminal.type_line("");
    let (code, shown) = terminal.end();
    assert!(code == 1 && shown.contains("you answered no; nothing was signed"), "{shown}");
    assert!(!server.requests().iter().any(|request| request.contains("/approval")));
}

#[test]
fn ssh_keygen_asks_for_a_passphrase_and_does_not_show_it() {
    let directory = tempdir().unwrap();
    let alice = key(directory.path(), "alice", "open sesame");
    let server = Script::new(asked(json!({})), [asked(json!({}))])
        .then(entitled().stage("ending"), [Look::done()])
        .serve();
    let mut terminal = on_terminal(&server, &["re-pair", "--sign-with", alice.to_str().unwrap()], 120);
    terminal.wait_for("sign? [y/N] ");
    assert!(terminal.echoes());
    terminal.type_line("y");
    terminal.wait_for("Enter passphrase");
    assert!(!terminal.echoes());
    terminal.type_line("open sesame");
    let (code, shown) = terminal.end();
    assert!(code == 0 && !shown.contains("sesame"), "{shown}");
    let approval = body(&server.wait_for("POST /v1/session/approval "));
    let stated = StatementBytes::of(&statement()).unwrap().to_be_signed();
    assert!(verifies(directory.path(), &alice, &stated, approval["signature"].as_str().unwrap()));
}

#[test]
fn a_wrong_passphrase_signs_nothing_and_leaves_the_session_open() {
    let directory = tempdir().unwrap();
    let alice = key(directory.path(), "alice", "open sesame");
    let server = Script::new(asked(json!({})), [asked(json!({}))]).serve();
    let mut terminal = on_terminal(&server, &["re-pair", "--sign-with", alice.to_str().unwrap()], 120);
    terminal.wait_for("sign? [y/N] ");
    terminal.type_line("y");
    terminal.wait_for("Enter passphrase");
    terminal.type_line("open barley");
    let (code, shown) = terminal.end();
    assert!(code == 1 && shown.contains("ssh-keygen failed: "), "{shown}");
    assert!(shown.contains("the session stays open"), "{shown}");
    assert!(!server.requests().iter().any(|request| request.contains("/approval")));
}

#[test]
fn an_interrupted_passphrase_prompt_restores_the_terminals_echo() {
    let directory = tempdir().unwrap();
    let alice = key(directory.path(), "alice", "open sesame");
    let server = Script::new(asked(json!({})), [asked(json!({}))]).serve();
    let mut terminal = on_terminal(&server, &["re-pair", "--sign-with", alice.to_str().unwrap()], 120);
    terminal.wait_for("sign? [y/N] ");
    terminal.type_line("y");
    terminal.wait_for("Enter passphrase");
    assert!(!terminal.echoes());
    kill_process(Pid::from_child(terminal.process()), Signal::INT).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !terminal.echoes() {
        assert!(Instant::now() < deadline, "the terminal's echo stays off");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(terminal.end().0, 130);
}

#[test]
fn a_wipe_shows_the_pairing_and_needs_its_name_typed() {
    for (typed, expected) in [("yes", 1), ("wipe", 0)] {
        let server = Script::new(entitled(), []).serve();
        let mut command = command(&server.socket(), &["wipe", "--reason", "sold"]);
        command.env("LANG", "C.UTF-8").env("TERM", "dumb");
        let mut terminal = Terminal::run(command, 120);
        terminal.wait_for("Example fleet");
        terminal.wait_for("Type wipe to continue: ");
        terminal.type_line(typed);
        let (code, shown) = terminal.end();
        let is_wiped = server.requests().iter().any(|request| request.starts_with("POST /v1/wipe "));
        assert_eq!((code, is_wiped), (expected, expected == 0), "{shown}");
    }
}
