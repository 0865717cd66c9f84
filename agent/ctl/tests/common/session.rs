//! A fake daemon of a device that pairs. It returns a sequence of states.

use std::collections::VecDeque;

use pawl_proto::codec::Version;
use pawl_proto::message::{Ending, Scope, ShortText, Statement, StatementBytes, StatementContext};
use pawl_proto::{Digest, Epoch, Nonce, PairingId, SessionId};
use serde_json::{Value, json};

use super::{ENTITLED, Server, problem, reply};

/// The device of [`ENTITLED`].
pub(crate) const DEVICE: &str = "abcdefghijklmnopqrstuvwxyz234567";

/// The session and the status at one moment.
#[derive(Clone)]
pub(crate) struct Look {
    session: Option<Value>,
    status: String,
}

/// Returns the state of an entitled device without a session.
pub(crate) fn entitled() -> Look {
    Look { session: None, status: ENTITLED.to_owned() }
}

/// Returns the state of an unpaired device.
pub(crate) fn unpaired() -> Look {
    Look { session: None, status: super::status("unpaired", "not paired") }
}

impl Look {
    /// Returns the same state with a session at this stage.
    pub(crate) fn stage(&self, stage: &str) -> Self {
        let session = json!({
            "id": "02".repeat(16), "stage": stage, "asked": null, "waiting": null, "problem": null
        });
        Self { session: Some(session), ..self.clone() }
    }

    /// Returns the same state with a waiting session.
    pub(crate) fn waiting(&self, statement: &Statement, waiting: Value) -> Self {
        let mut look = self.stage("waiting");
        look.set("asked", asked(statement));
        look.set("waiting", waiting);
        look
    }

    /// Returns the same state with a failed session.
    pub(crate) fn failed(&self, error: &str, reason: &str) -> Self {
        let mut look = self.stage("failed");
        look.set("problem", serde_json::from_str(&problem(error, reason)).unwrap());
        look
    }

    /// Returns the state with a completed session and the new pairing.
    pub(crate) fn done() -> Self {
        let mut look = entitled().stage("done");
        look.status = look
            .status
            .replace("00000000000000000000000000000001", &"02".repeat(16))
            .replace(r#""counter": 7"#, r#""counter": 8"#);
        look
    }

    /// Changes the session's id.
    pub(crate) fn of_another_session(mut self) -> Self {
        self.set("id", json!("03".repeat(16)));
        self
    }

    /// Changes the device's state, and sets this problem.
    pub(crate) fn in_state(mut self, state: &str, reason: &str) -> Self {
        let mut status: Value = serde_json::from_str(&self.status).unwrap();
        status["state"] = json!(state);
        status["problem"] = serde_json::from_str(&problem("because", reason)).unwrap();
        self.status = status.to_string();
        self
    }

    fn set(&mut self, key: &str, value: Value) {
        self.session.as_mut().unwrap()[key] = value;
    }

    fn session(&self) -> Vec<u8> {
        match &self.session {
            Some(session) => reply(200, &session.to_string()),
            None => reply(404, &problem("no-session", "there was no session")),
        }
    }
}

/// Returns the status of a waiting session. `more` overrides its fields.
pub(crate) fn waiting(more: Value) -> Value {
    let mut waiting = json!({
        "user_code": "BCDF-GHJK-LMNP", "url": "https://control.example/approve", "needed": 1, "approved": [],
        "unconfirmed": 0, "tries_left": 5, "expires": 4_000_000_000_u64, "refused": null
    });
    for (key, value) in more.as_object().unwrap() {
        waiting[key] = value.clone();
    }
    waiting
}

/// Returns the statement of a re-pair that a script requested with `pawlctl re-pair`.
pub(crate) fn statement() -> Statement {
    Statement {
        version: Version,
        session: SessionId::from_random([2; 16]),
        device: DEVICE.parse().unwrap(),
        nonce: Nonce([3; 32]),
        origin: ShortText::new("uid 0; script").unwrap(),
        action: ShortText::new(Statement::RE_PAIR).unwrap(),
        resource: None,
        subject: None,
        context: None,
        reason: ShortText::default(),
        scopes: vec![Scope::new("telemetry").unwrap()],
        audiences: Vec::new(),
        granted: None,
        replaces: None,
        endorsement: None,
        epoch: Epoch(7),
        evidence: Digest([4; 32]),
        boot: Digest([5; 32]),
        time: 1_800_000_000,
        expires: 1_800_000_600,
    }
}

pub(crate) fn asked(statement: &Statement) -> Value {
    let bytes = StatementBytes::of(statement).unwrap();
    let ends = Ending {
        pairing: PairingId::from_random([1; 16]),
        epoch: Epoch(7),
        paired_at: 1_790_000_000,
        scopes: vec![Scope::new("telemetry").unwrap(), Scope::new("updates").unwrap()],
    };
    let known =
        StatementContext { label: Some(ShortText::new("pump 4").unwrap()), ends: Some(ends), replaced: None };
    json!({
        "statement": hex::encode(bytes.0.as_bytes()), "digest": bytes.to_be_signed(),
        "action": statement.action, "origin": statement.origin, "reason": statement.reason,
        "scopes": statement.scopes, "replaces": statement.replaces, "endorsement": statement.endorsement,
        "known": known,
    })
}

/// Returns the body of a request.
pub(crate) fn body(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// A daemon that changes its state with each query of its session, and with each submitted step.
pub(crate) struct Script {
    now: Look,
    next: VecDeque<Look>,
    steps: VecDeque<Answer>,
    given_up: Vec<u8>,
}

/// The answer to a submitted step.
enum Answer {
    /// The step leads to this state, and then to these.
    Taken(Look, Vec<Look>),
    NotTaken(Vec<u8>),
}

impl Script {
    pub(crate) fn new(before: Look, looks: impl IntoIterator<Item = Look>) -> Self {
        let given_up = b"HTTP/1.1 204 X\r\ncontent-length: 0\r\n\r\n".to_vec();
        Self { now: before, next: looks.into_iter().collect(), steps: VecDeque::new(), given_up }
    }

    /// Answers the next approval or confirmation with this state, followed by these.
    pub(crate) fn then(mut self, answer: Look, looks: impl IntoIterator<Item = Look>) -> Self {
        self.steps.push_back(Answer::Taken(answer, looks.into_iter().collect()));
        self
    }

    /// Refuses the next approval or confirmation with this answer.
    pub(crate) fn then_refuse(mut self, answer: Vec<u8>) -> Self {
        self.steps.push_back(Answer::NotTaken(answer));
        self
    }

    /// Sets the answer to a cancellation.
    pub(crate) fn given_up(mut self, answer: Vec<u8>) -> Self {
        self.given_up = answer;
        self
    }

    pub(crate) fn serve(mut self) -> Server {
        Server::new(move |request| self.answer(request))
    }

    pub(crate) fn answer(&mut self, request: &str) -> Vec<u8> {
        match request.split(" HTTP").next().unwrap() {
            "POST /v1/pair" => reply(202, r#"{"state":"pairing"}"#),
            "GET /v1/session" => {
                self.now = self.next.pop_front().unwrap_or_else(|| self.now.clone());
                self.now.session()
            }
            "GET /v1/status" => reply(200, &self.now.status),
            "DELETE /v1/session" => self.given_up.clone(),
            "POST /v1/wipe" => reply(200, r#"{"ended": 7, "epoch": 8}"#),
            "POST /v1/session/approval" | "POST /v1/session/confirmation" => {
                match self.steps.pop_front().unwrap() {
                    Answer::NotTaken(refusal) => refusal,
                    Answer::Taken(look, looks) => {
                        (self.now, self.next) = (look, looks.into());
                        self.now.session()
                    }
                }
            }
            other => panic!("{other}"),
        }
    }
}
