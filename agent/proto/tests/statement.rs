//! What an approver signs follows from every field of what they were shown.

use pawl_proto::codec::Version;
use pawl_proto::message::{Statement, StatementBytes};
use pawl_proto::{DeviceId, Digest, Epoch, Nonce, SessionId, Text};

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
    // From a CBOR encoder of another make. Whoever changes the encoding of statements finds out here.
    assert_eq!(signed, "99bafade458fd6310f1d92c0de75050a2bb523a80cb8322e7fdfc0a6f4f3fad0");
    assert_eq!(signed, bytes.digest().to_string());
}

#[test]
fn every_field_changes_what_is_signed() {
    type Change = fn(&mut Statement);
    let changes: [(&str, Change); 17] = [
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
