//! Tests of approval sessions that fail: the old pairing stays live, unless a wipe ends it.

use pawl_local_api::{PairRequest, SessionStage};
use pawl_proto::message::{GrantedApproval, RefusalCode, Statement};

use super::device::{Device, is_call, is_write, name};
use super::peers::refusal;
use super::sessions::{is_approved, is_step, waiting};
use super::*;

#[test]
fn an_approval_that_the_disk_refuses_changes_nothing() {
    let mut device = Device::entitled();
    device.pair();
    let kept = device.run_until(|effect| is_write(effect, |write| matches!(write, Write::Approved(_))));
    device.fail(&kept.unwrap());
    assert_eq!(device.rig.core.state(), DeviceState::Entitled);
    assert_eq!(
        (device.stage(), device.session_problem()),
        (SessionStage::Failed, "state-not-kept".to_owned())
    );
    device.run();
    assert_eq!(device.tpm.counter, Some(EPOCH));
    assert!(!device.disk.is_reserved, "the reserved space was not freed");
}

#[test]
fn a_tpm_that_fails_at_any_command_of_a_session_changes_nothing() {
    let mut failed = Vec::new();
    loop {
        let mut device = Device::entitled();
        device.pair();
        // Fail each command once.
        let is_new = |effect: &Effect| matches!(effect, Effect::Tpm(..)) && !failed.contains(&name(effect));
        let kept = |effect: &Effect| is_write(effect, |write| matches!(write, Write::Approved(_)));
        let effect = device.run_until(|effect| is_new(effect) || kept(effect)).unwrap();
        if kept(&effect) {
            break;
        }
        failed.push(name(&effect));
        device.fail(&effect);
        device.run();
        assert_eq!(device.session_problem(), "tpm", "{effect:?}");
        assert_eq!(device.rig.core.state(), DeviceState::Entitled, "{effect:?}");
        assert_eq!((device.tpm.counter, device.disk.is_reserved), (Some(EPOCH), false), "{effect:?}");
    }
    let commands = ["ProvisionCounter", "Identity", "Activate", "Certify", "ReadPcrs", "Quote", "Counter"];
    assert_eq!(failed, commands);
}

#[test]
fn a_full_disk_fails_the_request_before_it_is_sent() {
    let mut device = Device::entitled();
    device.disk.is_full = true;
    device.pair();
    device.run();
    assert_eq!(device.session_problem(), "state-not-kept");
    assert!(device.plane.request.is_none(), "the control plane was asked");
}

/// Asserts that the session failed and that the pairing is live.
fn assert_untouched(device: &mut Device, problem: &str) {
    device.run();
    assert_eq!((device.stage(), device.session_problem().as_str()), (SessionStage::Failed, problem));
    assert_eq!(device.rig.core.state(), DeviceState::Entitled);
    assert_eq!((device.tpm.counter, device.disk.is_reserved), (Some(EPOCH), false));
    assert!(device.disk.approved.is_none());
}

#[test]
fn a_session_that_the_control_plane_refuses_at_any_call_changes_nothing() {
    let calls: [fn(&Call) -> bool; 3] = [
        |call| matches!(call, Call::RequestPairing(_)),
        |call| matches!(call, Call::OpenSession(..)),
        |call| matches!(call, Call::Step(..)),
    ];
    for is in calls {
        let mut device = Device::entitled();
        device.plane.needed = 1;
        device.pair();
        let call = device.run_until(|effect| is_call(effect, is));
        let call = call.or_else(|| {
            device.rig.seconds(5);
            device.next()
        });
        let Some(Effect::Call(ticket, _)) = call else { panic!("the call was not made") };
        device.rig.feed(Input::Called(ticket, Err(refusal(RefusalCode::Suspended))));
        assert_untouched(&mut device, "suspended");
    }
}

#[test]
fn a_request_that_gets_no_answer_ends_the_session() {
    let mut device = Device::entitled();
    device.pair();
    let call = device.run_until(|effect| is_call(effect, |call| matches!(call, Call::RequestPairing(_))));
    device.fail(&call.unwrap());
    assert_untouched(&mut device, "control-plane-unreachable");
}

#[test]
fn the_proof_of_a_session_is_not_retried_forever() {
    let mut device = Device::entitled();
    device.pair();
    for _ in 0..20 {
        if let Some(call) = device.run_until(|effect| is_call(effect, |_| true)) {
            device.fail_if(&call, |call| matches!(call, Call::OpenSession(..)));
        }
        device.rig.seconds(8);
    }
    assert_untouched(&mut device, "control-plane-unreachable");
}

#[test]
fn a_session_that_nobody_approves_expires() {
    let mut device = waiting();
    for _ in 0..200 {
        device.rig.seconds(5);
        if let Some(step) = device.run_until(is_step) {
            device.fail(&step);
        }
    }
    assert_untouched(&mut device, "expired");
}

#[test]
fn a_statement_or_an_approval_that_differs_from_the_request_ends_the_session() {
    fn other_reason(statement: &mut Statement) {
        statement.reason = Text::lossy("another");
    }
    let mut device = Device::entitled();
    device.plane.alter_statement = other_reason;
    device.pair();
    assert_untouched(&mut device, "statement-differs");

    let mut device = Device::entitled();
    device.plane.alter_approval = |approved| {
        approved.approvals.push(GrantedApproval {
            principal: Text::lossy("alice"),
            key: Text::lossy("SHA256:none"),
            time: 1,
            signature: b"no signature".to_vec().try_into().unwrap(),
        });
    };
    device.pair();
    assert_untouched(&mut device, "statement-differs");

    let mut device = Device::entitled();
    device.plane.above = EPOCH + 1;
    device.pair();
    assert_untouched(&mut device, "pairing-failed");

    // The control plane changes the statement during the session.
    let mut device = waiting();
    device.plane.alter_statement = other_reason;
    device.plane.restate();
    device.rig.seconds(5);
    assert_untouched(&mut device, "statement-differs");
}

#[test]
fn the_answer_to_the_last_call_of_a_cancelled_session_is_ignored() {
    let mut device = waiting();
    device.rig.seconds(5);
    let step = device.next().unwrap();
    device.rig.feed(Input::Request(RequestId(9), Request::GiveUp));
    assert!(matches!(device.rig.take_reply(), Some(Reply::Done)));
    device.plane.needed = 0;
    device.carry_out(step);
    assert_untouched(&mut device, "given-up");
    device.rig.feed(Input::Request(RequestId(10), Request::GiveUp));
    assert!(
        matches!(device.rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "no-session")
    );
}

#[test]
fn a_wipe_ends_the_session_of_an_unpaired_device_and_its_epoch() {
    let mut device = Device::unpaired();
    device.plane.needed = 1;
    device.pair();
    device.run();
    device.rig.feed(Input::Request(RequestId(9), Request::Wipe(Text::lossy("sold"))));
    device.run();
    assert!(matches!(device.rig.take_reply(), Some(Reply::Wiped(wiped)) if wiped.ended == Epoch(1)));
    assert_eq!((device.tpm.counter, device.session_problem().as_str()), (Some(2), "given-up"));
    assert_eq!(device.rig.core.state(), DeviceState::Unpaired);
}

#[test]
fn a_wipe_drops_an_approval_that_is_being_written() {
    let mut device = Device::entitled();
    device.pair();
    let kept = device.run_until(is_approved).unwrap();
    device.rig.feed(Input::Request(RequestId(9), Request::Wipe(Text::lossy("sold"))));
    device.carry_out(kept);
    device.run();
    device.rig.feed(Input::Link(LinkInput::Delivered(ParcelKind::Receipt(Epoch(EPOCH)))));
    device.run();
    assert!(device.disk.approved.is_none(), "the next start would pair by itself");
    assert_eq!((device.rig.core.state(), device.tpm.counter), (DeviceState::Revoked, Some(EPOCH + 1)));
}

#[test]
fn deprovisioning_ends_a_session_first() {
    let mut device = Device::unpaired();
    device.plane.needed = 1;
    device.pair();
    device.run();
    device.rig.feed(Input::Request(RequestId(9), Request::Deprovision));
    device.run();
    assert!(matches!(device.rig.take_reply(), Some(Reply::Deprovisioned(done)) if done.removed));
    assert_eq!(device.tpm.counter, None);
    device.rig.feed(Input::Request(RequestId(10), Request::Pair(PairRequest::default())));
    assert!(
        matches!(device.rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "deprovisioned")
    );
}

/// Returns a device whose pairing the operator has ordered to repair, and the TPM command that removes its counter for a caller.
fn deprovisioned_during_a_repair() -> (Device, Effect) {
    let mut device = Device::entitled();
    device.rig.event(EventKind::Repair, EPOCH);
    device.rig.feed(Input::Request(RequestId(9), Request::Deprovision));
    device.run();
    device.rig.feed(Input::Link(LinkInput::Delivered(ParcelKind::Receipt(Epoch(EPOCH)))));
    let removal = device.run_until(|effect| matches!(effect, Effect::Tpm(_, TpmCommand::Deprovision)));
    (device, removal.expect("the counter is not removed"))
}

#[test]
fn a_device_that_is_deprovisioned_during_a_repair_does_not_pair_again() {
    let (mut device, removal) = deprovisioned_during_a_repair();
    device.run();
    device.rig.seconds(600);
    device.rig.feed(Input::Request(RequestId(10), Request::Pair(PairRequest::default())));
    assert!(matches!(device.rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "busy"));
    device.carry_out(removal);
    device.run();
    assert!(matches!(device.rig.take_reply(), Some(Reply::Deprovisioned(done)) if done.removed));
    device.rig.seconds(600);
    device.run();
    assert!(!device.done.contains(&"Reserve".to_owned()), "a session began: {:?}", device.done);
    assert_eq!((device.tpm.counter, device.rig.problem().as_str()), (None, "deprovisioned"));
}

#[test]
fn a_repair_is_carried_out_after_the_tpm_refused_to_remove_the_counter() {
    let (mut device, removal) = deprovisioned_during_a_repair();
    device.fail(&removal);
    device.run();
    assert!(matches!(device.rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "tpm"));
    device.assert_paired(EPOCH + 1);
}

#[test]
fn a_device_whose_keys_are_missing_is_paired_again_in_a_later_epoch() {
    let mut device = Device::paired(Rig::new());
    let found = Found { keys: Ok(false), ..device.disk.found(&device.tpm) };
    device.rig.find(found);
    assert_eq!(device.rig.problem(), "state-damaged");
    device.pair();
    device.run();
    device.rig.seconds(10);
    device.run();
    device.assert_paired(EPOCH + 1);
}

#[test]
fn a_live_pairing_is_replaced_only_if_the_caller_asks_for_it() {
    let mut device = Device::entitled();
    device.rig.feed(Input::Request(RequestId(1), Request::Pair(PairRequest::default())));
    assert!(
        matches!(device.rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "already-paired")
    );
}

#[test]
fn a_tpm_failure_at_a_callers_command_is_reported_to_the_caller() {
    let mut device = Device::unpaired();
    device.run();
    device.rig.feed(Input::Request(RequestId(9), Request::Deprovision));
    let command = device.next().unwrap();
    device.rig.feed(Input::Request(RequestId(10), Request::Deprovision));
    assert!(matches!(device.rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "busy"));
    device.carry_out(command);
    let command = device.next().unwrap();
    device.fail(&command);
    assert!(matches!(device.rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "tpm"));
}
