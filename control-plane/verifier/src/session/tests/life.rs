//! The ends of sessions, and the limits on opening them.

use pawl_approval::UserCode;

use super::*;

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
        // A late attempt is stored for the operator, and the device learns that the session has ended.
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
fn only_the_first_failed_attempts_are_stored() {
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
fn only_its_own_device_learns_the_state_of_a_session() {
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
    assert!(outcome.session.is_none(), "it is not counted as a failed attempt");
}

#[test]
fn a_step_in_an_ended_session_is_refused_with_the_reason() {
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
fn the_first_code_with_a_free_handle_is_used() {
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
