use pawl_proto::local::PairRequest;

use super::*;

fn opened(effect: &Effect) -> Option<Ticket> {
    match effect {
        Effect::OpenSession { ticket, .. } => Some(*ticket),
        _ => None,
    }
}

fn made(effect: &Effect) -> Option<(Ticket, bool)> {
    match effect {
        Effect::MakePairing { ticket, ends_epoch, .. } => Some((*ticket, *ends_epoch)),
        _ => None,
    }
}

/// A paired device whose re-pair was approved, and the session's ticket.
fn approved() -> (Rig, Ticket) {
    let mut rig = Rig::entitled(900);
    let request = PairRequest { again: true, ..PairRequest::default() };
    rig.feed(Input::Request(RequestId(1), Request::Pair(request)));
    assert!(matches!(rig.take_reply(), Some(Reply::Done)));
    let ticket = rig.take(opened).unwrap();
    rig.feed(Input::SessionOver(ticket, Ok(Box::new(testing::approved()))));
    (rig, ticket)
}

fn end_old(rig: &mut Rig) {
    rig.end_epoch();
    rig.receipt();
    rig.store_receipt();
    rig.feed(Input::Link(LinkInput::Delivered(ParcelKind::Receipt(Epoch(EPOCH)))));
}

#[test]
fn nothing_is_done_on_an_approval_before_the_disk_has_it() {
    let (mut rig, ticket) = approved();
    assert_eq!(rig.core.state(), DeviceState::Entitled);
    let write = rig.take_write(|write| matches!(write, Write::Approved(_))).unwrap();
    assert!(!rig.has(is_increment));
    rig.feed(Input::Written(write, Ok(())));
    end_old(&mut rig);
    assert_eq!(rig.take(made), Some((ticket, false)));
    assert_eq!(rig.core.state(), DeviceState::Pairing);
}

#[test]
fn an_approval_that_the_disk_did_not_take_changes_nothing() {
    let (mut rig, ticket) = approved();
    let write = rig.take_write(|write| matches!(write, Write::Approved(_))).unwrap();
    rig.feed(Input::Written(write, Err("no space left".to_owned())));
    assert_eq!(rig.core.state(), DeviceState::Entitled);
    assert!(rig.has(|effect| matches!(effect, Effect::FailSession(failed, _) if *failed == ticket)));
    assert!(!rig.has(is_increment));
}

#[test]
fn a_caller_who_pairs_while_a_pairing_is_made_is_told_to_follow_it() {
    let (mut rig, _) = approved();
    let write = rig.take_write(|write| matches!(write, Write::Approved(_))).unwrap();
    rig.feed(Input::Written(write, Ok(())));
    end_old(&mut rig);
    rig.feed(Input::Request(RequestId(2), Request::Pair(PairRequest::default())));
    assert!(matches!(rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "pairing"));
}

#[test]
fn a_pairing_that_was_made_is_read_from_the_disk() {
    let (mut rig, ticket) = approved();
    let write = rig.take_write(|write| matches!(write, Write::Approved(_))).unwrap();
    rig.feed(Input::Written(write, Ok(())));
    end_old(&mut rig);
    rig.feed(Input::PairingMade(ticket, Ok(())));
    assert!(rig.has(|effect| matches!(effect, Effect::Examine)));
    let mut found = rig.found();
    let record = PairingRecord { epoch: Epoch(EPOCH + 1), ..rig.record.clone() };
    (found.pairing, found.counter) = (Ok(Some(record)), Some(Epoch(EPOCH + 1)));
    rig.feed(Input::Found(Box::new(found)));
    assert_eq!(rig.problem(), "waiting");
    assert!(rig.has(|effect| matches!(effect, Effect::Connect(_))));
}

#[test]
fn a_granted_pairing_that_the_disk_did_not_take_is_ended() {
    let (mut rig, ticket) = approved();
    let write = rig.take_write(|write| matches!(write, Write::Approved(_))).unwrap();
    rig.feed(Input::Written(write, Ok(())));
    end_old(&mut rig);
    rig.effects.clear();
    let record = Box::new(PairingRecord { epoch: Epoch(EPOCH + 1), ..rig.record.clone() });
    let problem = problem::problem("state-not-kept", "no space left", "free some");
    rig.feed(Input::PairingMade(ticket, Err(MakingFailure { problem, granted: Some(record) })));
    assert!(rig.take_tpm(is_increment_command).is_some());
}

#[test]
fn an_unattended_session_is_repeated_unless_a_person_is_wanted() {
    for wants_person in [false, true] {
        let mut rig = Rig::new();
        let revocation = Revocation {
            version: Version,
            ended: Epoch(EPOCH),
            cause: pawl_proto::message::Cause::Repair,
            event: Some(EventId::from_random([1; 16])),
            reason: Text::lossy("moved"),
            time: 1,
            counted: true,
            receipted: true,
        };
        let found = Found { revocation: Some(revocation), counter: Some(Epoch(EPOCH + 1)), ..rig.found() };
        rig.feed(Input::Found(Box::new(found)));
        let ticket = rig.take(opened).unwrap();
        let problem = problem::problem("refused", "no", "ask");
        rig.feed(Input::SessionOver(ticket, Err(SessionFailure { problem, wants_person })));
        rig.seconds(300);
        assert_eq!(rig.take(opened).is_some(), !wants_person);
    }
}

#[test]
fn an_order_that_overtakes_an_approval_on_its_way_to_the_disk_opens_no_second_session() {
    let mut rig = Rig::entitled(900);
    let request = PairRequest { again: true, ..PairRequest::default() };
    rig.feed(Input::Request(RequestId(1), Request::Pair(request)));
    let ticket = rig.take(opened).unwrap();
    rig.event(EventKind::Repair, EPOCH);
    rig.feed(Input::SessionOver(ticket, Ok(Box::new(testing::approved()))));
    let write = rig.take_write(|write| matches!(write, Write::Approved(_))).unwrap();
    end_old(&mut rig);
    assert!(rig.take(opened).is_none(), "a session beside the approved one");
    rig.feed(Input::Written(write, Ok(())));
    assert_eq!(rig.take(made), Some((ticket, false)));
}
