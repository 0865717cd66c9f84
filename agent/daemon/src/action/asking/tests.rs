//! Tests of the statements and claims that the device refuses.

use pawl_evidence::assurance::{ActionClaims, Approver, AssuranceError};
use pawl_proto::codec::Version;
use pawl_proto::{Blob, DeviceId, Epoch, Text};

use super::*;
use crate::record::testing::record;

const DIGEST: &str = "0909090909090909090909090909090909090909090909090909090909090909";

fn text(text: &str) -> ShortText {
    Text::new(text).unwrap()
}

fn request() -> ActionRequest {
    ActionRequest {
        action: text("firmware-update"),
        resource: text("pump 7"),
        digest: DIGEST.to_owned(),
        session: text("job 12"),
        reason: text("CVE"),
    }
}

fn asking() -> Asking {
    Asking { nonce: Nonce([4; 32]), ..Asking::new(request(), text("uid 1000")).unwrap() }
}

fn session() -> SessionId {
    SessionId::from_random([5; 16])
}

fn statement() -> Statement {
    Statement {
        version: Version,
        session: session(),
        device: record(4).device,
        nonce: Nonce([4; 32]),
        origin: text("uid 1000"),
        action: text("firmware-update"),
        resource: Some(text("pump 7")),
        subject: Some(Digest([9; 32])),
        context: Some(text("job 12")),
        reason: text("CVE"),
        scopes: Vec::new(),
        audiences: Vec::new(),
        granted: None,
        replaces: None,
        endorsement: None,
        epoch: Epoch(4),
        evidence: Digest([6; 32]),
        boot: Digest([7; 32]),
        time: 10,
        expires: 610,
    }
}

fn bytes() -> StatementBytes {
    StatementBytes::of(&statement()).unwrap()
}

fn approval() -> GrantedApproval {
    GrantedApproval {
        principal: text("alice"),
        key: text("SHA256:key"),
        time: 20,
        signature: Blob::new(Vec::new()).unwrap(),
    }
}

fn claims() -> Claims {
    Claims {
        iss: "Example fleet".to_owned(),
        sub: record(4).device.to_string(),
        jti: session().to_string(),
        iat: 30,
        exp: 330,
        pawl: ActionClaims {
            pairing: record(4).pairing.to_string(),
            epoch: 4,
            action: "firmware-update".to_owned(),
            resource: "pump 7".to_owned(),
            digest: [9; 32],
            session: "job 12".to_owned(),
            origin: "uid 1000".to_owned(),
            boot: [7; 32],
            evidence: [6; 32],
            statement: bytes().digest().0,
            approved: Approved::Persons(vec![Approver {
                by: "alice".to_owned(),
                key: "SHA256:key".to_owned(),
                time: 20,
            }]),
        },
    }
}

#[test]
fn a_digest_has_64_hexadecimal_digits() {
    for digest in ["", "09", &DIGEST.replace('0', "g")] {
        let request = ActionRequest { digest: digest.to_owned(), ..request() };
        assert!(Asking::new(request, text("uid 1000")).is_none(), "{digest:?}");
    }
}

#[test]
fn a_statement_that_differs_is_refused_by_the_name_of_its_field() {
    type Change = fn(&mut Statement);
    let changes: [(&str, Change); 14] = [
        ("session", |statement| statement.session = SessionId::from_random([1; 16])),
        ("device", |statement| statement.device = DeviceId::from_digest([1; 32])),
        ("nonce", |statement| statement.nonce = Nonce([1; 32])),
        ("origin", |statement| statement.origin = text("uid 0")),
        ("action", |statement| statement.action = text("re-pair")),
        ("resource", |statement| statement.resource = Some(text("pump 8"))),
        ("subject", |statement| statement.subject = None),
        ("context", |statement| statement.context = Some(text("job 13"))),
        ("reason", |statement| statement.reason = text("fun")),
        ("scopes", |statement| statement.scopes = vec![Text::new("admin").unwrap()]),
        ("audiences", |statement| statement.audiences = vec![Text::new("https://api.example").unwrap()]),
        ("granted", |statement| statement.granted = Some(Default::default())),
        ("replaces", |statement| statement.replaces = Some(DeviceId::from_digest([1; 32]))),
        ("epoch", |statement| statement.epoch = Epoch(5)),
    ];
    let check = |statement: &Statement| {
        asking().check_statement(session(), &record(4), &StatementBytes::of(statement).unwrap())
    };
    check(&statement()).unwrap();
    for (field, change) in changes {
        let mut statement = statement();
        change(&mut statement);
        let refused = check(&statement);
        assert!(matches!(refused, Err(StatementError::Differs(named)) if named == field), "{field}");
    }
}

#[test]
fn claims_beyond_what_was_asked_for_are_not_signed() {
    type Change = fn(&mut Claims);
    let changes: [(&str, Change); 8] = [
        ("jti", |claims| claims.jti = SessionId::from_random([1; 16]).to_string()),
        ("pairing", |claims| claims.pawl.pairing = "0".to_owned()),
        ("epoch", |claims| claims.pawl.epoch = 5),
        ("origin", |claims| claims.pawl.origin = "uid 0".to_owned()),
        ("boot", |claims| claims.pawl.boot = [1; 32]),
        ("evidence", |claims| claims.pawl.evidence = [1; 32]),
        ("statement", |claims| claims.pawl.statement = [1; 32]),
        ("approved", |claims| claims.pawl.approved = Approved::Policy),
    ];
    let check = |claims: &Claims| asking().check_claims(claims, &record(4), &bytes(), &[approval()]);
    check(&claims()).unwrap();
    for (name, change) in changes {
        let mut claims = claims();
        change(&mut claims);
        let refused = check(&claims);
        assert!(matches!(refused, Err(ActionError::Claims(claim)) if claim == name), "{name}: {refused:?}");
    }
    let mut elsewhere = claims();
    elsewhere.pawl.resource = "pump 8".to_owned();
    let refused = check(&elsewhere);
    assert!(matches!(refused, Err(ActionError::Assurance(AssuranceError::Resource))), "{refused:?}");
}

#[test]
fn nobody_is_named_who_did_not_approve_and_nobody_left_out() {
    let check = |approved: Approved, approvals: &[GrantedApproval]| {
        let mut claims = claims();
        claims.pawl.approved = approved;
        asking().check_claims(&claims, &record(4), &bytes(), approvals)
    };
    let person = |by: &str| Approver { by: by.to_owned(), key: "SHA256:key".to_owned(), time: 20 };
    let bob = GrantedApproval { principal: text("bob"), ..approval() };
    check(Approved::Policy, &[]).unwrap();
    check(Approved::Persons(vec![person("bob"), person("alice")]), &[approval(), bob.clone()]).unwrap();
    assert!(check(Approved::Persons(vec![person("mallory")]), &[approval()]).is_err());
    assert!(check(Approved::Persons(vec![person("alice"), person("bob")]), &[approval()]).is_err());
    assert!(check(Approved::Persons(vec![person("alice"); 2]), &[approval(), bob]).is_err());
    assert!(check(Approved::Persons(vec![person("alice")]), &[]).is_err());
}
