use super::*;

fn revocation(counted: bool, receipted: bool) -> Revocation {
    Revocation {
        version: Version,
        ended: Epoch(EPOCH),
        cause: Cause::Wipe,
        event: None,
        reason: Text::lossy("sold"),
        time: 1,
        counted,
        receipted,
    }
}

fn start(change: impl FnOnce(&mut Found)) -> Rig {
    let mut rig = Rig::new();
    let mut found = rig.found();
    change(&mut found);
    rig.find(found);
    rig
}

#[test]
fn a_wipe_that_was_recorded_before_its_increment_is_done_at_the_next_start() {
    let rig = start(|found| found.revocation = Some(revocation(false, false)));
    assert!(rig.has(is_increment));
    assert!(!rig.has(|effect| matches!(effect, Effect::Connect(_))));
}

#[test]
fn a_wipe_that_is_pending_for_another_tpm_ends_no_epoch_of_this_one() {
    let rig = start(|found| {
        found.revocation = Some(revocation(false, false));
        found.attestation_name = Some(b"another".to_vec());
    });
    assert!(!rig.has(is_increment));
    assert_eq!(rig.problem(), "moved-disk");
}

#[test]
fn a_counter_past_the_pairing_is_a_revocation() {
    let mut rig = start(|found| found.counter = Some(Epoch(EPOCH + 1)));
    assert!(!rig.has(is_increment));
    assert!(rig.has(|effect| matches!(effect, Effect::Write(_, Write::DestroyKeys))));
    rig.receipt();
    rig.store_receipt();
    assert_eq!(rig.problem(), "revoked");
    assert!(rig.has(|effect| matches!(effect, Effect::Call(_, Call::Receipt(_)))));
}

#[test]
fn a_revocation_with_its_receipt_is_not_done_again() {
    let rig = start(|found| {
        found.counter = Some(Epoch(EPOCH + 1));
        found.revocation = Some(revocation(true, true));
    });
    assert!(!rig.has(|effect| matches!(effect, Effect::Tpm(..))), "{:?}", rig.effects);
    assert_eq!(rig.core.state(), DeviceState::Revoked);
}

#[test]
fn a_counter_behind_the_pairing_means_another_tpm() {
    let rig = start(|found| found.counter = Some(Epoch(EPOCH - 1)));
    assert_eq!(rig.problem(), "tpm-replaced");
    let rig = start(|found| found.counter = None);
    assert_eq!(rig.problem(), "tpm-replaced");
}

#[test]
fn a_pairing_without_its_keys_is_not_used() {
    let rig = start(|found| found.keys = Ok(false));
    assert_eq!(rig.problem(), "state-damaged");
    assert_eq!(rig.core.state(), DeviceState::Unpaired);
}

fn is_examination(effect: &Effect) -> bool {
    matches!(effect, Effect::Examine(_))
}

#[test]
fn an_examination_from_before_a_wipe_is_ignored() {
    let mut rig = Rig::entitled(900);
    rig.check_epoch(EPOCH + 1);
    let ticket = rig.take_examination().unwrap();
    rig.event(EventKind::Revoke, EPOCH);
    let found = rig.found();
    rig.feed(Input::Found(ticket, Box::new(found)));
    assert_eq!(rig.core.state(), DeviceState::Revoked);
}

#[test]
fn a_failed_examination_is_repeated() {
    let mut rig = Rig::entitled(900);
    let failure =
        TpmFailure { kind: TpmFailureKind::Transient, text: "busy".to_owned(), remedy: String::new() };
    rig.feed(Input::NotFound(Ticket::START, failure.clone()));
    rig.seconds(5);
    assert!(!rig.has(is_examination), "a failure of another examination started one");
    rig.check_epoch(EPOCH + 1);
    let ticket = rig.take_examination().unwrap();
    rig.feed(Input::NotFound(ticket, failure));
    assert!(!rig.has(is_examination));
    rig.seconds(5);
    assert!(rig.has(is_examination));
}

fn kept_approval() -> Unfinished {
    Unfinished::Approved { approved: Box::new(testing::approved()), may_have_keys: false }
}

#[test]
fn a_disk_that_was_moved_to_another_tpm_is_detected_while_the_pairing_runs() {
    let mut rig = Rig::entitled(900);
    rig.feed(Input::Link(LinkInput::Lost("gone".to_owned())));
    let check = rig.take_tpm(|command| matches!(command, TpmCommand::Check(_))).unwrap();
    rig.answer(check, TpmAnswer::Checked(Some(Epoch(EPOCH)), false));
    assert_eq!((rig.problem().as_str(), rig.core.state()), ("moved-disk", DeviceState::Unpaired));
    assert!(rig.has(|effect| matches!(effect, Effect::Disconnect)));
    assert!(!rig.has(is_increment), "the epoch of this TPM is another pairing's");
}

#[test]
fn a_stored_approval_of_another_tpm_is_dropped() {
    let rig = start(|found| {
        found.unfinished = kept_approval();
        found.attestation_name = Some(b"another".to_vec());
        found.pairing = Ok(None);
    });
    assert!(rig.has(|effect| matches!(effect, Effect::Write(_, Write::DiscardUnfinished))));
    assert!(rig.core.session().is_none());
}

#[test]
fn a_stored_suspension_bars_the_device_after_a_restart() {
    let mut rig = Rig::new();
    let mut found = rig.found();
    found.lease = Some(rig.signed_verdict(|verdict| verdict.lease = Some(lease(900_000))));
    found.verdict = Some(rig.signed_verdict(|verdict| {
        verdict.entitlement.standing = Standing::Suspended;
        verdict.reasons = vec![Text::lossy("stolen")];
    }));
    rig.find(found);
    assert_eq!(rig.problem(), "suspended");
    assert!(!rig.has(|effect| matches!(effect, Effect::Tpm(_, TpmCommand::Unseal(_)))));
    // The operator has resumed the device, and no appraisal has followed yet.
    rig.verdict(|verdict| verdict.result = None);
    assert_eq!(rig.problem(), "waiting");
}

#[test]
fn a_start_reads_the_name_of_the_attestation_key_only_if_it_needs_it() {
    let rig = Rig::new();
    let found = || rig.found();
    assert!(!found().needs_attestation_name());
    assert!(Found { counter: Some(Epoch(EPOCH + 1)), ..found() }.needs_attestation_name());
    assert!(Found { revocation: Some(revocation(false, false)), ..found() }.needs_attestation_name());
    assert!(Found { unfinished: kept_approval(), ..found() }.needs_attestation_name());
    assert!(Found { unfinished: kept_approval(), pairing: Ok(None), ..found() }.needs_attestation_name());
    assert!(!Found { pairing: Ok(None), ..found() }.needs_attestation_name());
}

/// The power failed between the write of the receipt and the write of the revocation, and earlier writes of the revocation had
/// failed.
#[test]
fn a_stored_receipt_gives_the_cause_of_the_end() {
    let mut before = Rig::entitled(900);
    before.event(EventKind::Repair, EPOCH);
    before.end_epoch();
    before.receipt();
    let message = before.take(|effect| match effect {
        Effect::Write(_, Write::Receipt(_, message)) => Some(message.clone()),
        _ => None,
    });
    let message = message.expect("no receipt was made");
    let cause = |receipts| {
        let mut rig = start(|found| {
            found.counter = Some(Epoch(EPOCH + 1));
            found.receipts = receipts;
        });
        rig.take(|effect| match effect {
            Effect::Write(_, Write::Revocation(revocation)) => Some((revocation.cause, revocation.event)),
            _ => None,
        })
    };
    let event = Some(EventId::from_random([1; 16]));
    assert_eq!(cause(vec![(Epoch(EPOCH), message.clone())]), Some((Cause::Repair, event)));
    assert_eq!(cause(vec![(Epoch(EPOCH - 1), message)]), Some((Cause::Recovery, None)));
    assert_eq!(cause(vec![(Epoch(EPOCH), vec![1])]), Some((Cause::Recovery, None)));
}
