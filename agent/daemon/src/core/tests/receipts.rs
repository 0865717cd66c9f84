use super::*;

/// A revoked device whose receipt has been made and is on the disk.
fn revoked() -> Rig {
    let mut rig = Rig::entitled(900);
    rig.event(EventKind::Revoke, EPOCH);
    rig.end_epoch();
    rig.receipt();
    rig.store_receipt();
    rig
}

fn is_removed(effect: &Effect) -> bool {
    matches!(effect, Effect::Write(_, Write::RemoveReceipt(Epoch(EPOCH))))
}

fn is_receipt(call: &Call) -> bool {
    matches!(call, Call::Receipt(_))
}

fn refused(rig: &mut Rig, is_transient: bool) {
    let call = rig.take_call(is_receipt).expect("the receipt was not handed in");
    let failure = CallFailure { text: "no".to_owned(), is_transient };
    rig.feed(Input::Called(call, Err(failure)));
}

#[test]
fn a_receipt_is_kept_until_the_control_plane_confirms_it() {
    let mut rig = revoked();
    rig.feed(Input::Link(LinkInput::Delivered(ParcelKind::Receipt(Epoch(EPOCH)))));
    assert!(!rig.has(is_removed), "the broker's word confirmed a receipt");
    assert!(rig.core.status().receipt_waiting);
    refused(&mut rig, true);
    rig.seconds(2);
    // A control plane that refuses it may be repaired: it is handed in again, more slowly.
    refused(&mut rig, false);
    rig.seconds(599);
    assert!(rig.take_call(is_receipt).is_none());
    rig.seconds(1);
    let call = rig.take_call(is_receipt).unwrap();
    assert!(!rig.has(is_removed));
    rig.feed(Input::Called(call, Ok(CallAnswer::ReceiptTaken)));
    assert!(rig.has(is_removed));
    assert!(!rig.core.status().receipt_waiting);
}

#[test]
fn a_receipt_without_a_subscriber_goes_over_https_at_once() {
    let mut rig = revoked();
    rig.feed(Input::Link(LinkInput::Undelivered(ParcelKind::Receipt(Epoch(EPOCH)))));
    assert!(rig.take_call(is_receipt).is_some());
    assert!(!rig.has(|effect| is_acknowledged(effect, 8)));
}

#[test]
fn a_broker_that_says_nothing_holds_no_receipt_up() {
    let mut rig = revoked();
    rig.seconds(9);
    assert!(rig.take_call(is_receipt).is_none());
    rig.seconds(2);
    assert!(rig.take_call(is_receipt).is_some());
}

#[test]
fn a_receipt_that_the_tpm_does_not_make_is_tried_again_in_this_process() {
    let mut rig = Rig::entitled(900);
    rig.event(EventKind::Revoke, EPOCH);
    rig.end_epoch();
    for _ in 0..5 {
        let counter = rig.take_tpm(|command| matches!(command, TpmCommand::Counter)).unwrap();
        rig.fail(counter, TpmFailureKind::Transient);
        rig.seconds(600);
    }
    assert!(rig.core.status().receipt_waiting);
    rig.receipt();
    assert!(rig.take_call(is_receipt).is_some());
}

#[test]
fn receipts_of_an_earlier_process_are_handed_in() {
    let mut rig = Rig::new();
    let found = Found { pairing: Ok(None), receipts: vec![(Epoch(1), vec![1])], ..rig.found() };
    rig.feed(Input::Found(Box::new(found)));
    assert!(rig.take_call(is_receipt).is_some());
}
