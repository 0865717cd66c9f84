use super::device::Device;
use super::*;

/// Returns a revoked device whose receipt was made and is on the disk.
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
    let call = rig.take_call(is_receipt).expect("the receipt was not submitted");
    let failure = CallFailure { text: "no".to_owned(), remedy: String::new(), is_transient, refusal: None };
    rig.feed(Input::Called(call, Err(failure)));
}

#[test]
fn a_receipt_is_kept_until_the_control_plane_confirms_it() {
    let mut rig = revoked();
    rig.feed(Input::Link(LinkInput::Delivered(ParcelKind::Receipt(Epoch(EPOCH)))));
    assert!(!rig.has(is_removed), "the broker's acknowledgement confirmed a receipt");
    assert!(rig.core.status().receipt_waiting);
    refused(&mut rig, true);
    rig.seconds(2);
    // After a refusal the core submits it again, more slowly: the control plane may be repaired.
    refused(&mut rig, false);
    rig.seconds(599);
    assert!(rig.take_call(is_receipt).is_none());
    rig.seconds(1);
    let call = rig.take_call(is_receipt).unwrap();
    assert!(!rig.has(is_removed));
    rig.feed(Input::Called(call, Ok(CallAnswer::ReceiptTaken(None))));
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
fn a_receipt_goes_over_https_if_the_broker_does_not_answer() {
    let mut rig = revoked();
    rig.seconds(9);
    assert!(rig.take_call(is_receipt).is_none());
    rig.seconds(2);
    assert!(rig.take_call(is_receipt).is_some());
}

#[test]
fn a_receipt_that_the_tpm_fails_to_make_is_retried_in_this_process() {
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

fn is_certify(effect: &Effect) -> bool {
    matches!(effect, Effect::Tpm(_, TpmCommand::Certify(_)))
}

#[test]
fn the_next_pairing_is_created_once_the_receipt_of_the_one_before_is_made() {
    let mut device = Device::entitled();
    device.rig.event(EventKind::Revoke, EPOCH);
    let certify = device.run_until(is_certify).unwrap();
    device.fail(&certify);
    device.run();
    device.pair();
    device.run();
    for _ in 0..10 {
        assert_eq!(device.rig.core.state(), DeviceState::Pairing);
        assert!(!device.done.iter().any(|done| done == "Commit"), "{:?}", device.done);
        device.rig.seconds(5);
        let certify = device.run_until(is_certify).expect("the receipt waits for longer than five seconds");
        device.fail(&certify);
        device.run();
    }
    device.rig.seconds(5);
    device.run();
    device.assert_paired(EPOCH + 1);
    let receipt = device.done.iter().position(|done| *done == "Receipt");
    assert!(receipt < device.done.iter().position(|done| *done == "Commit"), "{:?}", device.done);
}

#[test]
fn the_next_pairing_is_created_once_the_disk_has_the_receipt() {
    let mut device = Device::entitled();
    device.rig.event(EventKind::Revoke, EPOCH);
    let is_write = |effect: &Effect| matches!(effect, Effect::Write(_, Write::Receipt(..)));
    let write = device.run_until(is_write).unwrap();
    // The control plane does not answer either.
    device.rig.seconds(10);
    device.run_until(|effect| matches!(effect, Effect::Call(_, call) if is_receipt(call))).unwrap();
    device.pair();
    device.run();
    assert_eq!(device.rig.core.state(), DeviceState::Pairing);
    assert!(!device.done.iter().any(|done| done == "Commit"), "{:?}", device.done);
    device.carry_out(write);
    device.run();
    device.assert_paired(EPOCH + 1);
}

#[test]
fn a_receipt_that_the_tpm_makes_only_after_the_next_pairing_is_submitted() {
    let mut device = Device::entitled();
    device.rig.event(EventKind::Revoke, EPOCH);
    let Some(Effect::Tpm(certify, _)) = device.run_until(is_certify) else { panic!("no receipt") };
    device.rig.fail(certify, TpmFailureKind::Key);
    device.run();
    device.pair();
    device.run();
    device.assert_paired(EPOCH + 1);
    let is_submitted = |device: &Device| {
        device.done.iter().filter(|done| *done == "Receipt").count() == 2
            && !device.rig.core.status().receipt_waiting
    };
    assert!(!is_submitted(&device), "{:?}", device.done);
    device.rig.seconds(600);
    device.run();
    assert!(is_submitted(&device), "{:?}", device.done);
}

#[test]
fn a_receipt_is_made_again_if_the_counter_moved_meanwhile() {
    let mut rig = Rig::entitled(900);
    rig.event(EventKind::Revoke, EPOCH);
    rig.end_epoch();
    for (read, certified) in [(EPOCH + 1, EPOCH + 2), (EPOCH + 2, EPOCH + 2)] {
        assert!(
            !rig.has(|effect| matches!(effect, Effect::Write(_, Write::Receipt(..)))),
            "the receipt and its certificate have different counter values"
        );
        let counter = rig.take_tpm(|command| matches!(command, TpmCommand::Counter)).expect("not made again");
        rig.answer(counter, TpmAnswer::Counter(Some(Epoch(read))));
        let certify = rig.take_tpm(|command| matches!(command, TpmCommand::Certify(_))).unwrap();
        let pawl_tpm::Attestation { attest, signature } = soft_tpm::certify_counter(certified);
        rig.answer(certify, TpmAnswer::Certified { attest, signature });
        rig.seconds(2);
    }
    rig.store_receipt();
    assert!(rig.take_call(is_receipt).is_some());
}

#[test]
fn receipts_of_an_earlier_process_are_submitted() {
    let mut rig = Rig::new();
    let found = Found { pairing: Ok(None), receipts: vec![(Epoch(1), vec![1])], ..rig.found() };
    rig.find(found);
    assert!(rig.take_call(is_receipt).is_some());
}

/// Otherwise the next start would find neither the receipt nor a reason to make one.
#[test]
fn a_receipt_is_recorded_as_made_only_after_it_is_on_the_disk() {
    let is_recorded = |effect: &Effect| matches!(effect, Effect::Write(_, Write::Revocation(revocation)) if revocation.receipted);
    let mut rig = Rig::entitled(900);
    rig.event(EventKind::Revoke, EPOCH);
    rig.end_epoch();
    rig.receipt();
    for _ in 0..3 {
        let stored = rig.take_write(|write| matches!(write, Write::Receipt(..))).expect("not written again");
        rig.feed(Input::Written(stored, Err("no space left".to_owned())));
        assert!(!rig.has(is_recorded), "the receipt is not on the disk");
        rig.seconds(600);
    }
    rig.store_receipt();
    assert!(rig.has(is_recorded));
}

#[test]
fn a_receipt_is_recorded_as_made_once_the_control_plane_has_it() {
    let mut rig = Rig::entitled(900);
    rig.event(EventKind::Revoke, EPOCH);
    rig.end_epoch();
    rig.receipt();
    let stored = rig.take_write(|write| matches!(write, Write::Receipt(..))).unwrap();
    rig.feed(Input::Written(stored, Err("no space left".to_owned())));
    rig.feed(Input::Link(LinkInput::Undelivered(ParcelKind::Receipt(Epoch(EPOCH)))));
    let call = rig.take_call(is_receipt).unwrap();
    rig.feed(Input::Called(call, Ok(CallAnswer::ReceiptTaken(None))));
    assert!(rig.has(|effect| {
        matches!(effect, Effect::Write(_, Write::Revocation(revocation)) if revocation.receipted)
    }));
    rig.seconds(600);
    assert!(rig.take_write(|write| matches!(write, Write::Receipt(..))).is_none(), "it is written again");
}

/// Returns a device whose earlier process was killed before it wrote why the epoch ended.
fn unexplained() -> Rig {
    let mut rig = Rig::new();
    let found = Found { counter: Some(Epoch(EPOCH + 1)), ..rig.found() };
    rig.find(found);
    rig.receipt();
    rig.store_receipt();
    rig
}

/// Answers the call with the receipt.
fn take_receipt(rig: &mut Rig, event: Vec<u8>) {
    let call = rig.take_call(is_receipt).unwrap();
    rig.feed(Input::Called(call, Ok(CallAnswer::ReceiptTaken(Some(event)))));
}

#[test]
fn an_event_in_the_answer_to_a_receipt_is_followed() {
    let mut rig = unexplained();
    let event = rig.signed_event(EventKind::Repair, EPOCH);
    take_receipt(&mut rig, event);
    let written = rig.position(|effect| {
        matches!(effect, Effect::Write(_, Write::Revocation(revocation)) if revocation.cause == Cause::Repair)
    });
    let removed = rig.position(|effect| matches!(effect, Effect::Write(_, Write::RemoveReceipt(_))));
    assert!(written.unwrap() < removed.unwrap(), "after a power cut in between the cause would be lost");
    rig.feed(Input::Timer);
    assert!(rig.has(is_opened));
}

#[test]
fn only_a_signed_event_of_the_ended_epoch_is_followed() {
    let changed = |change: fn(&mut Rig) -> Vec<u8>| {
        let mut rig = unexplained();
        let event = change(&mut rig);
        take_receipt(&mut rig, event);
        rig.feed(Input::Timer);
        rig.has(is_opened)
    };
    assert!(changed(|rig| rig.signed_event(EventKind::Repair, EPOCH)));
    assert!(!changed(|rig| rig.signed_event(EventKind::Repair, EPOCH + 1)));
    assert!(!changed(|rig| rig.signed_event(EventKind::Refresh, EPOCH)));
    assert!(!changed(|rig| {
        let mut event = rig.signed_event(EventKind::Repair, EPOCH);
        event.pop();
        event
    }));
}

#[test]
fn a_device_that_knows_why_its_epoch_ended_ignores_such_an_event() {
    let mut rig = revoked();
    rig.feed(Input::Link(LinkInput::Undelivered(ParcelKind::Receipt(Epoch(EPOCH)))));
    let event = rig.signed_event(EventKind::Repair, EPOCH);
    rig.effects.retain(|effect| !matches!(effect, Effect::Write(..)));
    take_receipt(&mut rig, event);
    assert!(!rig.has(|effect| matches!(effect, Effect::Write(_, Write::Revocation(_)))));
}
