//! The whole life of an approval session, with signatures of ssh-keygen.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pawl_approval::{AllowedSigners, Confirmation, UserCode};
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

/// What a step depends on, while the persons may approve.
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

/// The binding that failed, as the operator sees it.
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
    assert!(elsewhere(&approvals).is_some(), "a confirmation that was lost is given again");

    let wrong = take(&session, &given(None, Some("BCDF-GHJK")), context(&persons, &approvals));
    assert_eq!(failed(&wrong), Binding::Confirmation);
    let no_letters = take(&session, &given(None, Some("1234")), context(&persons, &approvals));
    assert_eq!(failed(&no_letters), Binding::Confirmation);

    // Meanwhile the approver may have been removed from the list: then the approval is taken back.
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

fn drawn() -> Confirmation {
    let drawn = Confirmation::generate(|bytes| {
        bytes.fill(2);
        Ok::<_, ()>(())
    });
    drawn.unwrap()
}

#[test]
fn an_approval_names_the_first_binding_that_it_misses() {
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

#[test]
fn too_many_failed_attempts_end_a_session() {
    let persons = Persons::new();
    for (attempt, binding) in [
        (Attempt::Code, Binding::Code),
        (Attempt::Confirmation, Binding::Confirmation),
        (Attempt::Approval, Binding::Key),
    ] {
        let mut left = session(1);
        for tries in (0..TRIES).rev() {
            let refused = Refused { time: NOW, binding, detail: "wrong".to_owned(), key: None };
            let (change, refusal) = refuse(left, refused, attempt);
            left = change.session;
            assert_eq!(left.tries_left(), tries);
            let code = if tries > 0 { RefusalCode::ApprovalRefused } else { RefusalCode::Declined };
            assert_eq!(refusal.code, code);
            assert_eq!(change.facts.len(), if tries > 0 { 1 } else { 2 });
        }
        assert_eq!(left.state, SessionState::Declined);
        // What comes too late is kept for the operator, and the device learns that it is over.
        let late = take(&left, &given(None, Some("BCDF-GHJK")), context(&persons, &[]));
        assert_eq!(refusal(&late).code, RefusalCode::Declined);
        assert_eq!(late.session.unwrap().facts.len(), 1);
        let asks = take(&left, &given(None, None), context(&persons, &[]));
        assert!(asks.session.is_none());
    }
    let mut approved = approve(session(0), NOW);
    for left in (0..TRIES).rev() {
        let change = refuse_proof(approved);
        assert_eq!(change.facts.is_empty(), left > 0);
        approved = change.session;
    }
    assert_eq!(approved.state, SessionState::Declined);
}

#[test]
fn attempts_that_do_not_count_fill_no_disk() {
    let mut session = session(1);
    for attempt in 0..30 {
        let refused = Refused {
            time: NOW,
            binding: Binding::Key,
            detail: "wrong".to_owned(),
            key: Some("k".to_owned()),
        };
        let change = note(session, refused);
        assert_eq!(change.facts.len(), usize::from(attempt < 20));
        session = change.session;
    }
    assert_eq!(session.refusals.len(), 20);
}

#[test]
fn only_its_own_device_learns_how_a_session_stands() {
    let persons = Persons::new();
    let session = session(1);
    let asks = given(None, None);
    let stranger = ApprovalStep { secret: Blob::new(vec![0; 32]).unwrap(), ..asks.clone() };
    let codes = [
        step(None, Purpose::Pairing, &asks, context(&persons, &[])),
        step(Some(&session), Purpose::Action, &asks, context(&persons, &[])),
        step(Some(&session), Purpose::Pairing, &stranger, context(&persons, &[])),
    ];
    for outcome in codes {
        assert_eq!(refusal(&outcome.unwrap()).code, RefusalCode::Stale);
    }
    let nobody = Refusal::new(RefusalCode::NoApprovers, "nobody may approve");
    let none = StepContext { signers: Err(&nobody), ..context(&persons, &[]) };
    let outcome = take(&session, &given(None, Some("BCDF-GHJK")), none);
    assert_eq!(refusal(&outcome).code, RefusalCode::NoApprovers);
    assert!(outcome.session.is_none(), "that is no failed attempt");
}

#[test]
fn a_session_that_is_over_says_why() {
    let persons = Persons::new();
    let ended = [
        (end(session(1), SessionState::Superseded, "a newer one"), RefusalCode::Stale, Binding::Session),
        (end(session(1), SessionState::Declined, "not now"), RefusalCode::Declined, Binding::Session),
        (expire(session(1)), RefusalCode::Stale, Binding::Expired),
        (expire(approve(session(1), NOW)), RefusalCode::Stale, Binding::Expired),
    ];
    for (change, code, binding) in ended {
        assert!(matches!(change.facts.as_slice(), [Fact::SessionOver { .. }]) && !change.is_removed);
        let outcome = take(&change.session, &given(None, Some("BCDF-GHJK")), context(&persons, &[]));
        assert_eq!(refusal(&outcome).code, code);
        assert_eq!(outcome.session.unwrap().session.refusals.last().unwrap().binding, binding);
    }
    let spent = spend(approve(session(1), NOW));
    let outcome = take(&spent, &given(None, Some("BCDF-GHJK")), context(&persons, &[]));
    assert_eq!(refusal(&outcome).code, RefusalCode::Stale);
    assert_eq!(outcome.session.unwrap().session.refusals.last().unwrap().binding, Binding::Used);

    let waits = session(1);
    assert!(!waits.is_overdue(NOW + 599) && waits.is_overdue(NOW + 600));
    assert!(!spent.is_overdue(u64::MAX));
}

#[test]
fn a_strangers_session_is_removed_unless_somebody_declined_it() {
    let strange = || ApprovalSession { stranger: Some("192.0.2.7".to_owned()), ..session(1) };
    assert!(expire(strange()).is_removed);
    assert!(end(strange(), SessionState::Superseded, "a newer one").is_removed);
    assert!(!end(strange(), SessionState::Declined, "unknown").is_removed);
}

#[test]
fn strangers_and_actions_are_admitted_up_to_their_limits() {
    let few = Strangers { waiting: 0, of_device: 0, of_address: 0, per_device: 8, per_address: 4 };
    assert!(few.admit().is_ok());
    for many in [
        Strangers { waiting: 64, ..few },
        Strangers { of_device: 8, ..few },
        Strangers { of_address: 4, ..few },
    ] {
        assert_eq!(many.admit().unwrap_err().code, RefusalCode::Busy);
    }
    assert!(admit_action(15).is_ok());
    assert_eq!(admit_action(16).unwrap_err().code, RefusalCode::Busy);
}

#[test]
fn a_user_code_is_free_or_the_next_one_is_tried() {
    let first = user_code(SECRET, 0);
    let code = free_code(SECRET, |handle| Ok::<_, ()>(handle != first.handle())).unwrap().unwrap();
    assert!(code.attempt > 0 && code.handle != first.handle());
    assert!(
        UserCode::generate(|bytes| {
            bytes.fill(1);
            Ok::<_, ()>(())
        })
        .is_ok()
    );
    assert!(free_code(SECRET, |_| Ok::<_, ()>(false)).unwrap().is_none());
    assert_eq!(free_code(SECRET, |_| Err("the database")).unwrap_err(), "the database");
    assert_eq!(no_free_code().code, RefusalCode::Busy);
    let (opened, fact) = opening(statement(), 2).open(Some(code.clone())).unwrap();
    assert_eq!(opened.code, Some(code));
    assert!(matches!(fact, Fact::SessionOpened { needed: 2, .. }));
}
