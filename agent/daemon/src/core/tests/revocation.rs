use super::*;

#[test]
fn the_gate_closes_and_the_increment_begins_before_anything_else() {
    let mut rig = Rig::entitled(900);
    rig.event(EventKind::Revoke, EPOCH);
    assert!(matches!(rig.effects[0], Effect::CloseGate(_)), "{:?}", rig.effects);
    assert!(is_increment(&rig.effects[1]), "{:?}", rig.effects);
    assert_eq!(rig.core.state(), DeviceState::Revoked);
}

#[test]
fn a_session_does_not_delay_the_increment_of_a_wipe() {
    let mut rig = Rig::entitled(900);
    let request = pawl_local_api::PairRequest { again: true, ..Default::default() };
    rig.feed(Input::Request(RequestId(1), Request::Pair(request)));
    rig.effects.clear();
    rig.feed(Input::Request(RequestId(2), Request::Wipe(Text::lossy("sold"))));
    assert!(matches!(rig.effects[0], Effect::CloseGate(_)), "{:?}", rig.effects);
    assert!(is_increment(&rig.effects[1]), "{:?}", rig.effects);
    let session = rig.core.session().unwrap();
    assert_eq!(session.problem.unwrap().error, "given-up");
}

#[test]
fn holders_are_woken_and_the_receipt_is_made_while_the_disk_hangs() {
    let mut rig = Rig::entitled(900);
    rig.event(EventKind::Revoke, EPOCH);
    rig.end_epoch();
    let told = rig.position(|effect| matches!(effect, Effect::TellHolders)).unwrap();
    let unlinked = rig.position(|effect| matches!(effect, Effect::Write(_, Write::DestroyKeys))).unwrap();
    assert!(told < unlinked, "{:?}", rig.effects);
    // No write has ended.
    rig.receipt();
    assert!(rig.has(|effect| matches!(
        effect,
        Effect::Publish(Parcel { kind: ParcelKind::Receipt(Epoch(EPOCH)), .. })
    )));
}

#[test]
fn holders_are_woken_although_the_tpm_does_not_answer() {
    let mut rig = Rig::entitled(900);
    rig.event(EventKind::Revoke, EPOCH);
    assert!(!rig.has(|effect| matches!(effect, Effect::TellHolders)));
    rig.advance(Duration::from_millis(300));
    assert!(rig.has(|effect| matches!(effect, Effect::TellHolders)));
}

#[test]
fn a_refused_increment_is_retried_until_it_succeeds() {
    let mut rig = Rig::entitled(900);
    rig.feed(Input::Request(RequestId(1), Request::Wipe(Text::lossy("sold"))));
    for round in 0..12 {
        let increment = rig.take_tpm(is_increment_command);
        rig.fail(
            increment.unwrap_or_else(|| panic!("round {round}: no increment")),
            TpmFailureKind::Transient,
        );
        rig.seconds(300);
    }
    assert_eq!(rig.problem(), "revoked-counter-owed");
    assert!(
        matches!(rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "revoked-counter-owed")
    );
    assert!(rig.has(|effect| matches!(effect, Effect::Write(_, Write::DestroyKeys))));

    // A caller who wipes meanwhile learns that it is being tried.
    rig.feed(Input::Request(RequestId(2), Request::Wipe(Text::lossy("sold"))));
    let Some(Reply::Refused(problem)) = rig.take_reply() else { panic!("no answer") };
    assert_eq!(problem.error, "revoked-counter-owed");
    assert!(problem.reason.contains("keeps retrying"), "{}", problem.reason);

    let increment = rig.take_tpm(is_increment_command).expect("the increment was given up");
    rig.answer(increment, TpmAnswer::Incremented);
    assert_eq!(rig.problem(), "revoked");
    rig.receipt();
}

#[test]
fn a_wipe_is_answered_after_the_receipt_is_on_the_disk() {
    let mut rig = Rig::entitled(900);
    rig.feed(Input::Link(LinkInput::Lost("cut".to_owned())));
    rig.feed(Input::Request(RequestId(1), Request::Wipe(Text::lossy("sold"))));
    rig.end_epoch();
    rig.receipt();
    assert!(rig.take_reply().is_none());
    rig.store_receipt();
    let Some(Reply::Wiped(wiped)) = rig.take_reply() else { panic!("no answer") };
    assert_eq!((wiped.ended, wiped.epoch), (Epoch(EPOCH), Epoch(EPOCH + 1)));
    rig.feed(Input::Request(RequestId(2), Request::Wipe(Text::lossy("again"))));
    assert!(matches!(rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "nothing-to-wipe"));
}

#[test]
fn an_event_is_acknowledged_after_the_broker_has_the_receipt() {
    let mut rig = Rig::entitled(900);
    rig.event(EventKind::Revoke, EPOCH);
    rig.end_epoch();
    rig.receipt();
    rig.store_receipt();
    assert!(!rig.has(|effect| is_acknowledged(effect, 8)));
    rig.feed(Input::Link(LinkInput::Delivered(ParcelKind::Receipt(Epoch(EPOCH)))));
    let acknowledged = rig.position(|effect| is_acknowledged(effect, 8)).unwrap();
    let disconnected = rig.position(|effect| matches!(effect, Effect::Disconnect)).unwrap();
    assert!(acknowledged < disconnected);
}

#[test]
fn an_ordered_repair_opens_an_unattended_session() {
    let mut rig = Rig::entitled(900);
    rig.event(EventKind::Repair, EPOCH);
    rig.end_epoch();
    rig.receipt();
    rig.store_receipt();
    rig.feed(Input::Link(LinkInput::Delivered(ParcelKind::Receipt(Epoch(EPOCH)))));
    assert!(rig.has(is_opened), "no session was opened");
    assert_eq!(rig.core.state(), DeviceState::Pairing);
}

fn asks_to_deprovision(rig: &mut Rig) -> Option<String> {
    rig.feed(Input::Request(RequestId(2), Request::Deprovision));
    rig.take(|effect| match effect {
        Effect::Reply(RequestId(2), Reply::Refused(problem)) => Some(problem.error.clone()),
        _ => None,
    })
}

fn is_removal(effect: &Effect) -> bool {
    matches!(effect, Effect::Tpm(_, TpmCommand::Deprovision))
}

#[test]
fn the_counter_is_not_removed_before_the_receipt_is_on_the_disk() {
    let mut rig = Rig::entitled(900);
    rig.feed(Input::Request(RequestId(1), Request::Deprovision));
    rig.end_epoch();
    let counter = rig.take_tpm(|command| matches!(command, TpmCommand::Counter)).unwrap();
    rig.fail(counter, TpmFailureKind::Transient);
    assert!(!rig.has(is_removal), "nobody can prove any more that the epoch has ended");
    assert!(matches!(rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "receipt-owed"));
    assert_eq!(asks_to_deprovision(&mut rig).as_deref(), Some("receipt-owed"));
    rig.seconds(2);
    rig.receipt();
    assert_eq!(asks_to_deprovision(&mut rig).as_deref(), Some("receipt-owed"));
    rig.store_receipt();
    assert_eq!(asks_to_deprovision(&mut rig), None);
    assert!(rig.has(is_removal));
}

#[test]
fn a_tpm_that_cannot_make_the_receipt_is_deprovisioned_without_it() {
    let mut rig = Rig::entitled(900);
    rig.feed(Input::Request(RequestId(1), Request::Deprovision));
    rig.end_epoch();
    let counter = rig.take_tpm(|command| matches!(command, TpmCommand::Counter)).unwrap();
    rig.fail(counter, TpmFailureKind::Key);
    assert!(rig.has(is_removal));
}
