//! What an approver signs follows from every field of what they were shown.

use pawl_proto::codec::Version;
use pawl_proto::message::{Access, Statement, StatementBytes};
use pawl_proto::{DeviceId, Digest, Epoch, Nonce, SessionId, Text, limits};

fn statement() -> Statement {
    Statement {
        version: Version,
        session: SessionId::from_random([1; 16]),
        device: DeviceId::from_digest([2; 32]),
        nonce: Nonce([3; 32]),
        origin: Text::lossy("uid 0; ssh 192.0.2.7"),
        action: Text::lossy(Statement::RE_PAIR),
        resource: None,
        subject: None,
        context: None,
        reason: Text::lossy("board swapped"),
        scopes: vec![Text::lossy("telemetry")],
        audiences: vec![Text::lossy("https://api.example")],
        granted: Some(Access {
            scopes: vec![Text::lossy("telemetry")],
            audiences: vec![Text::lossy("https://control.example:8443")],
        }),
        replaces: None,
        endorsement: None,
        epoch: Epoch(7),
        evidence: Digest([4; 32]),
        boot: Digest([5; 32]),
        time: 1_800_000_000,
        expires: 1_800_000_600,
    }
}

#[test]
fn a_statement_survives_the_way_there_and_back() {
    let bytes = StatementBytes::of(&statement()).unwrap();
    assert_eq!(bytes.decode().unwrap(), statement());
    assert_eq!(bytes.digest(), statement().digest().unwrap());
}

#[test]
fn what_is_signed_is_the_digest_in_hexadecimal() {
    let bytes = StatementBytes::of(&statement()).unwrap();
    let signed = bytes.to_be_signed();
    // From a CBOR encoder of another make. Anyone who changes the encoding of statements finds out here.
    assert_eq!(signed, "8d63d8fe9d8470aa309819a2eadb40fbf042d4b1b44b735d3c7332a3bfe7da16");
    assert_eq!(signed, bytes.digest().to_string());
}

#[test]
fn every_field_changes_what_is_signed() {
    type Change = fn(&mut Statement);
    let changes: [(&str, Change); 21] = [
        ("session", |s| s.session = SessionId::from_random([9; 16])),
        ("device", |s| s.device = DeviceId::from_digest([9; 32])),
        ("nonce", |s| s.nonce = Nonce([9; 32])),
        ("origin", |s| s.origin = Text::lossy("uid 0; tty1")),
        ("action", |s| s.action = Text::lossy(Statement::PAIR)),
        ("resource", |s| s.resource = Some(Text::lossy("slot-b"))),
        ("subject", |s| s.subject = Some(Digest([9; 32]))),
        ("context", |s| s.context = Some(Text::lossy("job 12"))),
        ("reason", |s| s.reason = Text::lossy("board stolen")),
        ("scopes", |s| s.scopes.push(Text::lossy("update"))),
        ("audiences", |s| s.audiences.clear()),
        ("granted", |s| s.granted = None),
        ("granted.scopes", |s| s.granted.as_mut().unwrap().scopes.push(Text::lossy("update"))),
        ("granted.audiences", |s| s.granted.as_mut().unwrap().audiences.clear()),
        ("replaces", |s| s.replaces = Some(DeviceId::from_digest([9; 32]))),
        ("endorsement", |s| s.endorsement = Some(Text::lossy("enrolled by hash"))),
        ("epoch", |s| s.epoch = Epoch(8)),
        ("evidence", |s| s.evidence = Digest([9; 32])),
        ("boot", |s| s.boot = Digest([9; 32])),
        ("time", |s| s.time += 1),
        ("expires", |s| s.expires += 1),
    ];
    let signed = |statement: &Statement| StatementBytes::of(statement).unwrap().to_be_signed();
    for (field, change) in changes {
        let mut other = statement();
        change(&mut other);
        assert_ne!(signed(&other), signed(&statement()), "{field} is not covered");
    }
}

#[test]
fn what_an_approver_reads_cannot_be_written_backwards() {
    for character in ['\u{202e}', '\u{2066}', '\u{200f}', '\u{1b}', '\n'] {
        let text = format!("for {character}nothing");
        assert!(Text::<64>::new(text.clone()).is_err(), "{character:?} was let through");
        assert_eq!(Text::<64>::lossy(&text).as_str(), "for  nothing");
    }
}

#[test]
fn the_largest_statement_can_be_encoded() {
    let scopes = vec![Text::new("s".repeat(64)).unwrap(); limits::SCOPES];
    let audiences = vec![Text::new("a".repeat(limits::AUDIENCE)).unwrap(); limits::AUDIENCES];
    let text = Text::new("x".repeat(limits::TEXT)).unwrap();
    let full = Statement {
        origin: text.clone(),
        action: text.clone(),
        resource: Some(text.clone()),
        context: Some(text.clone()),
        reason: text,
        scopes: scopes.clone(),
        audiences: audiences.clone(),
        granted: Some(Access { scopes, audiences }),
        ..statement()
    };
    assert_eq!(StatementBytes::of(&full).unwrap().decode().unwrap(), full);
}
