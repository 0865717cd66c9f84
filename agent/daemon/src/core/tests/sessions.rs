//! Tests of approval sessions, with inputs of the control plane, the disk, the TPM and callers.

use pawl_local_api::SessionStage;
use pawl_proto::message::RefusalCode;

use super::device::{Device, is_call, is_write};
use super::peers::{Disk, given, refusal};
use super::soft_tpm::SoftTpm;
use super::*;

fn ordered() -> Device {
    let mut disk = Disk::new(Some(Rig::new().record));
    disk.revocation = Some(Revocation {
        version: Version,
        ended: Epoch(EPOCH),
        cause: pawl_proto::message::Cause::Repair,
        event: Some(EventId::from_random([1; 16])),
        reason: Text::lossy("moved"),
        time: 1,
        counted: true,
        receipted: true,
    });
    Device::start(SoftTpm::new(Some(EPOCH + 1)), disk, EPOCH)
}

#[test]
fn an_unattended_session_is_repeated_unless_a_person_is_required() {
    for (code, is_repeated) in [(RefusalCode::Posture, true), (RefusalCode::ApprovalRequired, false)] {
        let mut device = ordered();
        let request =
            device.run_until(|effect| is_call(effect, |call| matches!(call, Call::RequestPairing(_))));
        let Some(Effect::Call(ticket, Call::RequestPairing(request))) = request else { panic!("no request") };
        assert!(!request.attended);
        device.rig.feed(Input::Called(ticket, Err(refusal(code))));
        device.run();
        let shown = if is_repeated { "posture" } else { "technician-wanted" };
        assert_eq!(device.rig.problem(), shown);
        device.rig.seconds(300);
        assert_eq!(device.rig.has(is_opened), is_repeated);
    }
}

#[test]
fn an_order_that_overtakes_an_approval_on_its_way_to_the_disk_opens_no_second_session() {
    let mut device = Device::entitled();
    device.pair();
    let kept =
        device.run_until(|effect| is_write(effect, |write| matches!(write, Write::Approved(_)))).unwrap();
    device.rig.event(EventKind::Repair, EPOCH);
    device.run();
    device.rig.feed(Input::Link(LinkInput::Delivered(ParcelKind::Receipt(Epoch(EPOCH)))));
    device.run();
    assert_eq!(device.tpm.counter, Some(EPOCH + 1));
    assert_eq!(device.stage(), SessionStage::Ending, "a second session was opened");
    device.carry_out(kept);
    device.run();
    device.assert_paired(EPOCH + 1);
}

#[test]
fn a_caller_gets_the_session_status_after_its_approval() {
    let mut device = Device::entitled();
    device.plane.needed = 2;
    device.pair();
    device.run();
    assert_eq!(device.stage(), SessionStage::Waiting);
    device.rig.feed(Input::Request(RequestId(7), Request::Approve(given())));
    device.run();
    let reply = device.rig.take_reply();
    assert!(
        matches!(&reply, Some(Reply::Session(status)) if status.waiting.as_ref().unwrap().needed == 1),
        "{reply:?}"
    );
    device.rig.feed(Input::Request(RequestId(8), Request::Confirm(Text::lossy("42"))));
    device.run_until(|effect| is_write(effect, |write| matches!(write, Write::Approved(_))));
    let reply = device.rig.take_reply();
    assert!(
        matches!(&reply, Some(Reply::Session(status)) if status.stage == SessionStage::Ending),
        "{reply:?}"
    );
    let [approval, confirmation] = [0, 1].map(|index| device.plane.steps[index].clone());
    assert_eq!((approval.approval.is_some(), confirmation.confirmation), (true, Some(Text::lossy("42"))));
    device.rig.feed(Input::Request(RequestId(9), Request::Approve(given())));
    assert!(
        matches!(device.rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "no-session")
    );
}

pub(super) fn is_approved(effect: &Effect) -> bool {
    is_write(effect, |write| matches!(write, Write::Approved(_)))
}

pub(super) fn is_step(effect: &Effect) -> bool {
    is_call(effect, |call| matches!(call, Call::Step(..)))
}

/// Returns a paired device whose session waits for two approvals.
pub(super) fn waiting() -> Device {
    let mut device = Device::entitled();
    device.plane.needed = 2;
    device.pair();
    device.run();
    assert_eq!(device.stage(), SessionStage::Waiting);
    device
}

#[test]
fn the_proof_of_a_session_is_sent_again_until_it_is_answered() {
    let mut device = Device::entitled();
    device.pair();
    let is_opening = |effect: &Effect| is_call(effect, |call| matches!(call, Call::OpenSession(..)));
    for _ in 0..3 {
        let call = device.run_until(is_opening).expect("the proof was not sent again");
        device.fail(&call);
        device.rig.seconds(8);
    }
    assert!(device.run_until(is_approved).is_some());
}

#[test]
fn an_approval_that_does_not_reach_the_control_plane_leaves_the_session_open() {
    let mut device = waiting();
    device.rig.feed(Input::Request(RequestId(7), Request::Approve(given())));
    let step = device.run_until(is_step).unwrap();
    device.fail(&step);
    let reply = device.rig.take_reply();
    assert!(
        matches!(&reply, Some(Reply::Unreachable(problem)) if problem.error == "control-plane-unreachable"),
        "{reply:?}"
    );
    assert_eq!(device.stage(), SessionStage::Waiting);
    device.rig.seconds(2);
    let again = device.run_until(is_step).expect("the control plane is not asked again");
    assert!(matches!(&again, Effect::Call(_, Call::Step(_, step)) if step.approval.is_none()), "{again:?}");
}

#[test]
fn a_rejected_approval_is_shown_as_refused() {
    let mut device = waiting();
    device.rig.feed(Input::Request(RequestId(7), Request::Approve(given())));
    let Some(Effect::Call(ticket, _)) = device.run_until(is_step) else { panic!("it was not submitted") };
    device.rig.feed(Input::Called(ticket, Err(refusal(RefusalCode::ApprovalRefused))));
    device.run();
    let reply = device.rig.take_reply();
    let Some(Reply::Session(status)) = reply else { panic!("{reply:?}") };
    assert_eq!(status.waiting.unwrap().refused.as_deref(), Some("no"));
}

#[test]
fn submissions_beyond_the_limit_are_answered_with_the_session_status() {
    let mut device = waiting();
    for id in 0..8 {
        device.rig.feed(Input::Request(RequestId(id), Request::Confirm(Text::lossy("42"))));
    }
    let is_status =
        |reply: &Reply| matches!(reply, Reply::Session(status) if status.stage == SessionStage::Waiting);
    let turned_away = std::iter::from_fn(|| device.rig.take_reply()).filter(is_status).count();
    // One was sent to the control plane, and four wait.
    assert_eq!(turned_away, 3);
    device.run_until(is_approved);
    assert_eq!(std::iter::from_fn(|| device.rig.take_reply()).count(), 5, "a caller has no answer");
}

#[test]
fn another_request_replaces_an_open_session() {
    let mut device = waiting();
    device.plane.needed = 0;
    device.pair();
    device.run_until(is_approved).expect("the second session was not opened");
    assert_eq!(device.plane.sessions, 2);
}

#[test]
fn an_event_makes_the_session_poll_at_once() {
    let mut device = waiting();
    device.plane.needed = 0;
    device.rig.event(EventKind::Repair, EPOCH);
    assert!(device.rig.has(is_step), "the session waits for its time");
    // The same if a call is in progress, whose answer may be older than the event.
    let mut device = waiting();
    device.rig.seconds(5);
    let step = device.run_until(is_step).unwrap();
    device.rig.event(EventKind::Repair, EPOCH);
    device.carry_out(step);
    assert!(device.rig.has(is_step), "the session waits for its time");
}

#[test]
fn a_device_that_pairs_by_itself_opens_its_first_session_at_its_start() {
    let mut device = Device::unpaired();
    device.rig.core = Core::new(
        device.rig.now,
        Settings {
            tokens: Vec::new(),
            pairs_by_itself: true,
            counter: 0x0180_0000,
            scopes: Vec::new(),
            audiences: Vec::new(),
        },
        1,
    );
    device.rig.effects.clear();
    device.rig.find(device.disk.found(&device.tpm));
    device.run();
    device.assert_paired(1);
    assert!(!device.plane.request.unwrap().attended);
}

#[test]
fn an_ordered_repair_continues_after_a_callers_session_failed() {
    let mut device = waiting();
    device.rig.event(EventKind::Repair, EPOCH);
    device.run();
    device.rig.feed(Input::Link(LinkInput::Delivered(ParcelKind::Receipt(Epoch(EPOCH)))));
    device.run();
    device.rig.feed(Input::Request(RequestId(9), Request::GiveUp));
    device.plane.needed = 0;
    device.rig.seconds(2);
    device.run();
    assert!(!device.plane.request.as_ref().unwrap().attended, "no session follows from the order");
    device.assert_paired(EPOCH + 1);
}

#[test]
fn an_order_that_overtakes_the_answer_to_an_approval_ends_one_epoch_and_opens_no_session() {
    let mut device = waiting();
    device.plane.needed = 1;
    device.rig.feed(Input::Request(RequestId(7), Request::Approve(given())));
    let step = device.run_until(is_step).unwrap();
    // The control plane has the approval, and its event arrives before its answer.
    device.rig.event(EventKind::Repair, EPOCH);
    device.run();
    device.rig.feed(Input::Link(LinkInput::Delivered(ParcelKind::Receipt(Epoch(EPOCH)))));
    device.run();
    device.carry_out(step);
    device.run();
    device.assert_paired(EPOCH + 1);
    assert_eq!(device.plane.sessions, 1);
}
