//! Approval sessions, with signatures by ssh-keygen.

mod life;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pawl_approval::{AllowedSigners, Confirmation};
use pawl_proto::message::{
    Access, ApprovalStep, GivenApproval, RefusalCode, ShortText, SshSignature, Statement,
};
use pawl_proto::{Blob, DeviceId, Digest, Epoch, Nonce, SessionId, Text};

use super::*;
use crate::record::Fact;
use crate::refusal::Refusal;

const NOW: u64 = 1_700_000_000;
const SECRET: &[u8] = b"the secret of the session";

/// A person with an SSH key.
struct Person {
    name: &'static str,
    key: PathBuf,
}

impl Person {
    fn new(dir: &Path, name: &'static str) -> Self {
        let key = dir.join(name);
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&key).stdin(Stdio::null());
        assert!(keygen.status().unwrap().success());
        Self { name, key }
    }

    fn line(&self, options: &str) -> String {
        let public = std::fs::read_to_string(self.key.with_extension("pub")).unwrap();
        format!("{} {options} {public}", self.name)
    }

    fn sign(&self, session: &ApprovalSession) -> GivenApproval {
        self.sign_for(session, "pawl-approval@v1")
    }

    fn sign_for(&self, session: &ApprovalSession, namespace: &str) -> GivenApproval {
        let message = self.key.with_extension("message");
        let signature = self.key.with_extension("message.sig");
        let _ = std::fs::remove_file(&signature);
        std::fs::write(&message, session.statement.to_be_signed()).unwrap();
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-Y", "sign", "-n", namespace, "-f"]).args([&self.key, &message]).stderr(Stdio::null());
        assert!(keygen.status().unwrap().success());
        let signature = SshSignature::new(std::fs::read(&signature).unwrap()).unwrap();
        GivenApproval { statement: session.statement.clone(), signature }
    }
}

/// Two persons who may approve.
struct Persons {
    alice: Person,
    bob: Person,
    signers: AllowedSigners,
    _dir: tempfile::TempDir,
}

impl Persons {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (alice, bob) = (Person::new(dir.path(), "alice"), Person::new(dir.path(), "bob"));
        let signers = AllowedSigners::parse(&(alice.line("") + &bob.line(""))).unwrap();
        Self { alice, bob, signers, _dir: dir }
    }
}

fn statement() -> Statement {
    Statement {
        version: Default::default(),
        session: SessionId::from_random([1; 16]),
        device: DeviceId::from_digest([2; 32]),
        nonce: Nonce([3; 32]),
        origin: ShortText::lossy("uid 0; tty1"),
        action: ShortText::lossy(Statement::RE_PAIR),
        resource: None,
        subject: None,
        context: None,
        reason: ShortText::lossy("new SSD"),
        scopes: Vec::new(),
        audiences: Vec::new(),
        granted: Some(Access::default()),
        replaces: None,
        endorsement: None,
        epoch: Epoch(7),
        evidence: Digest([4; 32]),
        boot: Digest([5; 32]),
        time: NOW,
        expires: NOW + 600,
    }
}

fn opening(statement: Statement, needed: u8) -> Opening<'static> {
    Opening { purpose: Purpose::Pairing, statement, needed, secret: SECRET, stranger: None, body: vec![1] }
}

fn session(needed: u8) -> ApprovalSession {
    let code = free_code(SECRET, |_| Ok::<_, ()>(true)).unwrap();
    opening(statement(), needed).open(code).unwrap().0
}

/// Returns the context of a step in which the persons may approve.
fn context<'a>(persons: &'a Persons, approvals: &'a [SessionApproval]) -> StepContext<'a> {
    StepContext { approvals, signers: Ok(&persons.signers), reported: None, now: NOW + 60 }
}

fn given(approval: Option<GivenApproval>, confirmation: Option<&str>) -> ApprovalStep {
    ApprovalStep {
        version: Default::default(),
        secret: Blob::new(SECRET.to_vec()).unwrap(),
        approval,
        confirmation: confirmation.map(Text::lossy),
    }
}

fn take(session: &ApprovalSession, given: &ApprovalStep, context: StepContext<'_>) -> StepOutcome {
    step(Some(session), Purpose::Pairing, given, context).unwrap()
}

fn refusal(outcome: &StepOutcome) -> &Refusal {
    match &outcome.answer {
        StepAnswer::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Returns the binding that failed, as the operator sees it.
fn failed(outcome: &StepOutcome) -> Binding {
    assert_eq!(refusal(outcome).code, RefusalCode::ApprovalRefused);
    let change = outcome.session.as_ref().unwrap();
    let [Fact::ApprovalRefused { binding, .. }] = change.facts.as_slice() else {
        panic!("{:?}", change.facts)
    };
    assert_eq!(change.session.refusals.last().unwrap().binding, *binding);
    *binding
}

fn put(outcome: StepOutcome) -> SessionApproval {
    match outcome.approval {
        Some(ApprovalChange::Put(approval)) => *approval,
        other => panic!("no approval: {other:?}"),
    }
}

#[test]
fn two_persons_at_the_device_approve_it_and_each_counts_once() {
    let persons = Persons::new();
    let session = session(2);
    let asked = take(&session, &given(None, None), context(&persons, &[]));
    assert!(matches!(asked.answer, StepAnswer::Waiting) && asked.session.is_none());

    let alices = given(Some(persons.alice.sign(&session)), None);
    let first = take(&session, &alices, context(&persons, &[]));
    assert!(matches!(first.answer, StepAnswer::Waiting));
    let approvals = [put(first)];
    assert_eq!(failed(&take(&session, &alices, context(&persons, &approvals))), Binding::Person);

    let second =
        take(&session, &given(Some(persons.bob.sign(&session)), None), context(&persons, &approvals));
    assert!(matches!(second.answer, StepAnswer::Approved { just_now: true }));
    let approved = second.session.clone().unwrap().session;
    assert_eq!((approved.state, approved.expires), (SessionState::Approved, NOW + 60 + USE_WITHIN));
    let approvals = [approvals[0].clone(), put(second)];
    let granted: Vec<_> = approvals.iter().filter_map(SessionApproval::granted).collect();
    assert_eq!(
        granted.iter().map(|granted| granted.principal.as_str()).collect::<Vec<_>>(),
        ["alice", "bob"]
    );
    let Fact::Approved { by, action, .. } = approved_fact(&approved, &approvals).unwrap() else {
        panic!("another fact")
    };
    assert_eq!((by.len(), action.as_str()), (2, "re-pair"));

    let again = take(&approved, &given(None, None), context(&persons, &approvals));
    assert!(matches!(again.answer, StepAnswer::Approved { just_now: false }));
    assert_eq!(spend(approved).state, SessionState::Spent);
}

#[test]
fn an_approval_from_elsewhere_counts_once_its_confirmation_is_typed_at_the_device() {
    let persons = Persons::new();
    let session = session(1);
    let confirmation = drawn();
    let digest = Digest(confirmation.digest());
    let sign = || persons.alice.sign(&session);
    let elsewhere = |approvals| {
        approve_elsewhere(&session, sign(), digest, &persons.signers, context(&persons, approvals))
            .unwrap()
            .ok()
    };
    let waits = elsewhere(&[]).unwrap();
    assert!(waits.elsewhere && waits.granted().is_none());
    let approvals = [waits];
    assert!(elsewhere(&approvals).is_some(), "an approver who lost the confirmation may approve again");

    let wrong = take(&session, &given(None, Some("BCDF-GHJK")), context(&persons, &approvals));
    assert_eq!(failed(&wrong), Binding::Confirmation);
    let no_letters = take(&session, &given(None, Some("1234")), context(&persons, &approvals));
    assert_eq!(failed(&no_letters), Binding::Confirmation);

    // If the approver was removed from the list meanwhile, the approval is removed.
    let others = AllowedSigners::parse(&persons.bob.line("")).unwrap();
    let typed = given(None, Some(&confirmation.to_string()));
    let removed = StepContext { signers: Ok(&others), ..context(&persons, &approvals) };
    let removed = take(&session, &typed, removed);
    assert_eq!(failed(&removed), Binding::Key);
    assert!(
        matches!(removed.approval, Some(ApprovalChange::Remove(key)) if key == approvals[0].approver.key)
    );

    let counts = take(&session, &typed, context(&persons, &approvals));
    assert!(matches!(counts.answer, StepAnswer::Approved { just_now: true }));
    assert!(put(counts).granted().is_some());

    let strange = persons.alice.sign_for(&session, "file");
    let refused =
        approve_elsewhere(&session, strange, digest, &persons.signers, context(&persons, &[])).unwrap();
    let (change, refused) = refused.unwrap_err();
    assert_eq!((refused.binding, change.session.failed.approvals), (Binding::Namespace, 1));
}

#[test]
fn an_approval_from_elsewhere_does_not_count_for_another_person_before_its_confirmation() {
    let persons = Persons::new();
    let session = session(2);
    let confirmation = drawn();
    let (signed, digest) = (persons.alice.sign(&session), Digest(confirmation.digest()));
    let waits = approve_elsewhere(&session, signed, digest, &persons.signers, context(&persons, &[]));
    let mut approvals = vec![waits.unwrap().ok().unwrap()];
    let bobs = given(Some(persons.bob.sign(&session)), None);
    let second = take(&session, &bobs, context(&persons, &approvals));
    assert!(matches!(second.answer, StepAnswer::Waiting), "{:?}", second.answer);
    approvals.push(put(second));
    let typed = given(None, Some(&confirmation.to_string()));
    let both = take(&session, &typed, context(&persons, &approvals));
    assert!(matches!(both.answer, StepAnswer::Approved { just_now: true }));
}

fn drawn() -> Confirmation {
    let drawn = Confirmation::generate(|bytes| {
        bytes.fill(2);
        Ok::<_, ()>(())
    });
    drawn.unwrap()
}

#[test]
fn a_refusal_names_the_first_binding_that_failed() {
    let persons = Persons::new();
    let session = session(1);
    let stranger = Person::new(persons.alice.key.parent().unwrap(), "mallory");
    let here = |approval| take(&session, &given(Some(approval), None), context(&persons, &[]));
    assert_eq!(failed(&here(stranger.sign(&session))), Binding::Key);
    assert_eq!(failed(&here(persons.alice.sign_for(&session, "git"))), Binding::Namespace);
    let mut forged = persons.alice.sign(&session);
    forged.signature = SshSignature::new(b"-----BEGIN SSH SIGNATURE-----".to_vec()).unwrap();
    assert_eq!(failed(&here(forged.clone())), Binding::Signature);
    forged.signature = SshSignature::new(vec![0xff]).unwrap();
    assert_eq!(failed(&here(forged)), Binding::Signature);

    let dated = AllowedSigners::parse(&persons.alice.line("valid-before=\"20200101Z\"")).unwrap();
    let late = StepContext { signers: Ok(&dated), ..context(&persons, &[]) };
    let late = take(&session, &given(Some(persons.alice.sign(&session)), None), late);
    assert_eq!(failed(&late), Binding::Dates);

    let drifted = StepContext { reported: Some(Digest([9; 32])), ..context(&persons, &[]) };
    let drifted = take(&session, &given(Some(persons.alice.sign(&session)), None), drifted);
    assert_eq!(failed(&drifted), Binding::Boot);

    let other =
        opening(Statement { reason: ShortText::lossy("lost"), ..statement() }, 1).open(None).unwrap().0;
    assert_eq!(failed(&here(persons.alice.sign(&other))), Binding::Reason);
    let mut none = session.clone();
    none.statement.0 = Blob::new(b"no statement".to_vec()).unwrap();
    assert_eq!(failed(&here(persons.alice.sign(&none))), Binding::Session);
    assert_eq!(none.asked().unwrap_err(), DamagedStatement);
}

#[test]
fn every_field_of_a_statement_is_a_binding() {
    type Change = fn(&mut Statement);
    let changes: [(Binding, Change); 18] = [
        (Binding::Session, |s| s.session = SessionId::from_random([9; 16])),
        (Binding::Device, |s| s.device = DeviceId::from_digest([9; 32])),
        (Binding::Nonce, |s| s.nonce = Nonce([9; 32])),
        (Binding::Action, |s| s.action = ShortText::lossy("door")),
        (Binding::Resource, |s| s.resource = Some(ShortText::lossy("door"))),
        (Binding::Subject, |s| s.subject = Some(Digest([9; 32]))),
        (Binding::Context, |s| s.context = Some(ShortText::lossy("job"))),
        (Binding::Origin, |s| s.origin = ShortText::lossy("uid 1")),
        (Binding::Reason, |s| s.reason = ShortText::lossy("lost")),
        (Binding::Scopes, |s| s.scopes.push(Text::lossy("door"))),
        (Binding::Audiences, |s| s.audiences.push(Text::lossy("https://api.example"))),
        (Binding::Granted, |s| s.granted = None),
        (Binding::Replaces, |s| s.replaces = Some(DeviceId::from_digest([9; 32]))),
        (Binding::Epoch, |s| s.epoch = Epoch(8)),
        (Binding::Evidence, |s| s.evidence = Digest([9; 32])),
        (Binding::Boot, |s| s.boot = Digest([9; 32])),
        (Binding::Time, |s| s.time += 1),
        (Binding::Time, |s| s.expires += 1),
    ];
    for (binding, change) in changes {
        let mut other = statement();
        change(&mut other);
        assert_eq!(Binding::differing(&statement(), &other), Some(binding));
    }
    assert_eq!(Binding::differing(&statement(), &statement()), None);
    assert_eq!(Binding::Evidence.to_string(), "evidence");
}
