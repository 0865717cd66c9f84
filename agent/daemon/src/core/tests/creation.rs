//! Tests of the creation of an approved pairing: complete, interrupted, refused and wiped.

use pawl_local_api::{PairRequest, SessionStage};
use pawl_proto::message::RefusalCode;

use super::device::{Device, is_call, is_write, name};
use super::peers::refusal;
use super::*;
use crate::core::start::{self, Start};

#[test]
fn a_first_pairing_is_requested_approved_and_created() {
    let mut device = Device::unpaired();
    device.pair();
    assert_eq!(device.rig.core.state(), DeviceState::Pairing);
    device.run();
    device.assert_paired(1);
    assert_eq!(device.stage(), SessionStage::Done);
    assert!(device.rig.has(|effect| matches!(effect, Effect::Connect(_))));
}

#[test]
fn a_re_pair_ends_the_old_pairing_at_its_approval_and_not_before() {
    let mut device = Device::entitled();
    device.pair();
    let kept = device.run_until(|effect| is_write(effect, |write| matches!(write, Write::Approved(_))));
    assert_eq!(device.rig.core.state(), DeviceState::Entitled);
    assert!(!device.rig.has(is_increment), "the core acts on an approval that is not on the disk");
    device.carry_out(kept.unwrap());
    assert!(device.rig.core.is_revoking());
    device.run();
    device.rig.feed(Input::Link(LinkInput::Delivered(ParcelKind::Receipt(Epoch(EPOCH)))));
    device.run();
    device.assert_paired(EPOCH + 1);
}

#[test]
fn a_tpm_that_fails_at_any_command_of_a_creation_leaves_no_pairing_and_no_approval() {
    let mut failed = Vec::new();
    loop {
        let mut device = Device::unpaired();
        device.pair();
        let kept = device.run_until(|effect| is_write(effect, |write| matches!(write, Write::Approved(_))));
        device.carry_out(kept.unwrap());
        let is_new = |effect: &Effect| matches!(effect, Effect::Tpm(..)) && !failed.contains(&name(effect));
        let proven = |effect: &Effect| is_call(effect, |call| matches!(call, Call::Prove(..)));
        let effect = device.run_until(|effect| is_new(effect) || proven(effect)).unwrap();
        if proven(&effect) {
            break;
        }
        failed.push(name(&effect));
        device.fail(&effect);
        device.run();
        assert_eq!((device.session_problem(), device.rig.problem()), ("tpm".to_owned(), "tpm".to_owned()));
        assert_eq!(device.rig.core.state(), DeviceState::Unpaired, "{effect:?}");
        assert!(device.disk.approved.is_none() && device.disk.pairing.is_none(), "{effect:?}");
    }
    let commands = [
        "ProvisionCounter",
        "Identity",
        "CreateKeys",
        "Activate",
        "Certify",
        "ReadPcrs",
        "Quote",
        "CertifyKeys",
        "RequestLink",
    ];
    assert_eq!(failed, commands);
}

#[test]
fn a_granted_pairing_that_the_disk_refuses_is_ended() {
    for is_cut in [
        (|effect| is_write(effect, |write| matches!(write, Write::Stage(_)))) as fn(&Effect) -> bool,
        |effect| is_write(effect, |write| matches!(write, Write::Commit)),
    ] {
        let mut device = Device::unpaired();
        device.pair();
        let write = device.run_until(is_cut).unwrap();
        device.fail(&write);
        assert!(device.rig.core.is_revoking());
        device.run();
        assert_eq!(device.tpm.counter, Some(2), "the granted epoch is still live");
        assert_eq!(device.session_problem(), "state-not-kept");
        assert!(device.rig.core.status().record.is_none());
        assert!(
            device.done.contains(&"Receipt".to_owned()),
            "the control plane gets no receipt: {:?}",
            device.done
        );
    }
}

#[test]
fn a_pair_request_during_a_creation_is_refused() {
    let mut device = Device::unpaired();
    device.pair();
    device.run_until(|effect| is_call(effect, |call| matches!(call, Call::Prove(..))));
    device.rig.feed(Input::Request(RequestId(2), Request::Pair(PairRequest::default())));
    assert!(matches!(device.rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "pairing"));
    device.rig.feed(Input::Request(RequestId(3), Request::GiveUp));
    assert!(matches!(device.rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "approved"));
}

fn cut_after(count: usize, mut device: Device) -> Device {
    device.pair();
    for _ in 0..count {
        match device.next() {
            Some(effect) => device.carry_out(effect),
            // The broker takes the receipt.
            None => device.rig.feed(Input::Link(LinkInput::Delivered(ParcelKind::Receipt(Epoch(EPOCH))))),
        }
    }
    device
}

#[test]
fn a_re_pair_that_a_crash_interrupts_leaves_the_old_pairing_or_the_new_one() {
    for count in 0.. {
        for is_carried_out in [false, true] {
            let mut device = cut_after(count, Device::entitled());
            if device.done.contains(&"Examine".to_owned()) {
                return;
            }
            // The process is killed after this effect, and before its result.
            if let (true, Some(effect)) = (is_carried_out, device.next()) {
                device.perform(effect);
            }
            let is_kept = device.done.contains(&"Approved".to_owned());
            device.restart();
            device.run();
            // The control plane does not grant a pairing twice: if the process lost the grant, another session follows.
            device.rig.seconds(2);
            device.run();
            let context = format!("cut after {count}, {is_carried_out}: {:?}", device.done);
            if is_kept {
                let record = device.rig.core.status().record.unwrap();
                assert!(record.epoch > Epoch(EPOCH), "{context}");
                assert_eq!(device.tpm.counter, Some(record.epoch.0), "{context}");
            } else {
                device.assert_paired(EPOCH);
            }
            assert!(!device.disk.is_reserved, "{context}");
        }
    }
}

fn is_proof(effect: &Effect) -> bool {
    is_call(effect, |call| matches!(call, Call::Prove(..)))
}

/// Returns an unpaired device whose pairing was approved, and the call with its proof.
fn proven() -> (Device, Effect) {
    let mut device = Device::unpaired();
    device.pair();
    let proof = device.run_until(is_proof).expect("no proof was made");
    (device, proof)
}

/// Asserts that no pairing was created and that its approval was removed.
fn assert_not_created(device: &mut Device, problem: &str) {
    device.run();
    assert_eq!((device.stage(), device.session_problem().as_str()), (SessionStage::Failed, problem));
    assert!(device.disk.approved.is_none() && device.disk.pairing.is_none());
    assert!(!device.disk.is_reserved);
}

#[test]
fn a_proof_is_submitted_until_the_control_plane_answers() {
    let (mut device, proof) = proven();
    device.fail(&proof);
    for _ in 0..5 {
        device.rig.seconds(30);
        let again = device.next().expect("the proof was not sent again");
        device.fail(&again);
    }
    device.rig.seconds(30);
    device.run();
    device.assert_paired(1);
}

#[test]
fn a_proof_that_gets_no_answer_is_submitted_for_ten_minutes() {
    let (mut device, proof) = proven();
    device.fail(&proof);
    for _ in 0..40 {
        device.rig.seconds(30);
        if let Some(again) = device.run_until(is_proof) {
            device.fail(&again);
        }
    }
    assert_not_created(&mut device, "control-plane-unreachable");
}

#[test]
fn a_refused_proof_ends_the_creation() {
    let (mut device, proof) = proven();
    let Effect::Call(ticket, _) = proof else { panic!("{proof:?}") };
    device.rig.feed(Input::Called(ticket, Err(refusal(RefusalCode::PostureChanged))));
    assert_not_created(&mut device, "posture-changed");
    assert_eq!(device.tpm.counter, Some(1));
}

#[test]
fn a_grant_that_differs_from_the_approval_is_not_used() {
    let alterations: [fn(&mut pawl_proto::message::PairingGrant); 3] = [
        |grant| grant.epoch = Epoch(99),
        |grant| grant.scopes.push(Text::lossy("admin")),
        |grant| grant.verdict = b"no verdict".to_vec().try_into().unwrap(),
    ];
    for alter in alterations {
        let mut device = Device::unpaired();
        device.plane.alter_grant = alter;
        device.pair();
        assert_not_created(&mut device, "pairing-failed");
    }
}

#[test]
fn a_storage_key_that_was_replaced_on_the_bus_is_not_used() {
    let mut device = Device::unpaired();
    device.tpm.storage_key = p256::ecdsa::SigningKey::from_slice(&[66; 32]).unwrap();
    device.pair();
    assert_not_created(&mut device, "tpm");
}

#[test]
fn a_required_epoch_that_the_tpm_has_not_reached_ends_the_creation() {
    let mut device = Device::unpaired();
    device.pair();
    let kept = device.run_until(|effect| is_write(effect, |write| matches!(write, Write::Approved(_))));
    device.carry_out(kept.unwrap());
    // The TPM lost its counter meanwhile.
    device.tpm.counter = None;
    let mut device = Device::start(device.tpm, device.disk, 0);
    device.disk.approved.as_mut().unwrap().answer.above = Epoch(5);
    device.restart();
    device.run();
    assert!(device.rig.core.status().record.is_none());
    assert_eq!(device.session_problem(), "pairing-failed");
}

#[test]
fn a_wipe_ends_a_creation_and_its_epoch() {
    let (mut device, _proof) = proven();
    device.rig.feed(Input::Request(RequestId(9), Request::Wipe(Text::lossy("sold"))));
    device.run();
    assert!(matches!(device.rig.take_reply(), Some(Reply::Wiped(wiped)) if wiped.ended == Epoch(1)));
    assert_not_created(&mut device, "given-up");
    assert_eq!((device.tpm.counter, device.rig.core.state()), (Some(2), DeviceState::Unpaired));
}

#[test]
fn a_wipe_after_the_grant_makes_the_receipt_of_the_granted_pairing() {
    let cuts: [fn(&Effect) -> bool; 3] = [
        |effect| is_write(effect, |write| matches!(write, Write::Stage(_))),
        |effect| is_write(effect, |write| matches!(write, Write::Commit)),
        |effect| matches!(effect, Effect::Examine(_)),
    ];
    for is_cut in cuts {
        let mut device = Device::unpaired();
        device.pair();
        let cut = device.run_until(is_cut).unwrap();
        device.rig.feed(Input::Request(RequestId(9), Request::Wipe(Text::lossy("sold"))));
        assert!(device.rig.has(is_increment), "{cut:?}");
        device.carry_out(cut);
        device.run();
        assert!(matches!(device.rig.take_reply(), Some(Reply::Wiped(wiped)) if wiped.ended == Epoch(1)));
        assert_eq!((device.tpm.counter, device.rig.core.state()), (Some(2), DeviceState::Revoked));
        assert!(device.done.contains(&"Receipt".to_owned()), "{:?}", device.done);
        device.restart();
        device.run();
        assert!(!matches!(device.rig.core.state(), DeviceState::Entitled | DeviceState::Pairing));
        assert_eq!(device.tpm.counter, Some(2));
    }
}

#[test]
fn a_wipe_between_grant_and_commit_makes_no_second_receipt_for_the_old_pairing() {
    let mut device = Device::entitled();
    device.pair();
    device.run();
    device.rig.feed(Input::Link(LinkInput::Delivered(ParcelKind::Receipt(Epoch(EPOCH)))));
    device.run_until(|effect| is_write(effect, |write| matches!(write, Write::Stage(_)))).unwrap();
    device.rig.feed(Input::Request(RequestId(9), Request::Wipe(Text::lossy("sold"))));
    device.run();
    device.rig.seconds(20);
    device.run();
    assert!(matches!(device.rig.take_reply(), Some(Reply::Wiped(wiped)) if wiped.ended == Epoch(EPOCH + 1)));
    let receipts = |device: &Device| device.done.iter().filter(|done| *done == "Receipt").count();
    // Each is written, and submitted.
    assert_eq!(receipts(&device), 4, "{:?}", device.done);
    device.restart();
    device.run();
    assert_eq!(receipts(&device), 4, "the next start makes another one: {:?}", device.done);
    let kept = device.disk.revocation.as_ref().unwrap();
    assert_eq!((kept.ended, kept.cause), (Epoch(EPOCH), Cause::Repair));
}

#[test]
fn a_resumed_approval_ends_the_epoch_in_which_keys_may_have_been_created() {
    let mut device = Device::unpaired();
    device.pair();
    device.run_until(|effect| matches!(effect, Effect::Tpm(_, TpmCommand::CertifyKeys(..))));
    device.restart();
    assert_eq!(device.stage(), SessionStage::Pairing);
    device.run();
    device.assert_paired(2);
}

#[test]
fn a_resumed_approval_without_keys_does_not_move_the_counter() {
    let mut device = Device::unpaired();
    device.pair();
    device.run_until(|effect| is_write(effect, |write| matches!(write, Write::BeginKeys(_)))).unwrap();
    assert!(!device.rig.has(|effect| matches!(effect, Effect::Tpm(_, TpmCommand::CreateKeys(_)))));
    device.restart();
    device.run();
    device.assert_paired(1);
}

/// The control plane's event for an approval can cause the increment while the approval is still being written.
#[test]
fn an_increment_during_the_write_of_an_approval_counts_as_that_of_the_re_pair() {
    let mut device = Device::entitled();
    device.pair();
    let kept =
        device.run_until(|effect| is_write(effect, |write| matches!(write, Write::Approved(_)))).unwrap();
    device.perform(kept);
    device.tpm.counter = Some(EPOCH + 1);
    let found = device.disk.found(&device.tpm);
    let Start::Finish(_, revocation) = start::decide(&found, 1) else { panic!("{found:?}") };
    assert_eq!((revocation.cause, revocation.ended), (Cause::Repair, Epoch(EPOCH)));
    device.restart();
    device.run();
    device.assert_paired(EPOCH + 1);
}

#[test]
fn two_increments_during_the_write_of_an_approval_are_not_those_of_the_re_pair() {
    let mut device = Device::entitled();
    device.pair();
    let kept =
        device.run_until(|effect| is_write(effect, |write| matches!(write, Write::Approved(_)))).unwrap();
    device.perform(kept);
    device.tpm.counter = Some(EPOCH + 2);
    let found = device.disk.found(&device.tpm);
    let Start::Finish(_, revocation) = start::decide(&found, 1) else { panic!("{found:?}") };
    assert_eq!(revocation.cause, Cause::Recovery);
}

#[test]
fn a_staged_pairing_is_committed_at_the_next_start() {
    let staged = || {
        let mut device = Device::unpaired();
        device.pair();
        device.run_until(|effect| is_write(effect, |write| matches!(write, Write::Commit)));
        device.restart();
        assert!(device.rig.core.is_examining());
        device
    };
    let mut device = staged();
    device.run();
    device.assert_paired(1);
    assert!(device.rig.has(|effect| matches!(effect, Effect::Security(SecurityEvent::PAIRED, ..))));

    let mut device = staged();
    let commit = device.next().unwrap();
    device.fail(&commit);
    assert_eq!((device.rig.problem().as_str(), device.rig.core.is_examining()), ("unpaired", false));

    // A wipe in between ends the epoch of the pairing that is being committed.
    let mut device = staged();
    device.rig.feed(Input::Request(RequestId(9), Request::Wipe(Text::lossy("sold"))));
    device.run();
    assert!(matches!(device.rig.take_reply(), Some(Reply::Wiped(_))));
    assert_eq!((device.tpm.counter, device.rig.core.state()), (Some(2), DeviceState::Revoked));
}

#[test]
fn files_without_a_readable_approval_are_removed() {
    let mut device = Device::unpaired();
    device.rig = Rig::new();
    let found = Found { unfinished: Unfinished::Scraps, ..device.disk.found(&device.tpm) };
    device.rig.find(found);
    assert!(device.rig.has(|effect| is_write(effect, |write| matches!(write, Write::DiscardUnfinished))));
    assert_eq!(device.rig.problem(), "unpaired");
}
