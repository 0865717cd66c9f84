//! Sessions and the pairings that come of them, with a TPM, a control plane and a disk of the test's choice.

use pawl_proto::local::{PairRequest, SessionStage};
use pawl_proto::message::RefusalCode;

use super::peers::{Disk, Plane, SoftTpm, given, refusal, silence};
use super::*;

/// A core with its peers.
struct Device {
    rig: Rig,
    tpm: SoftTpm,
    plane: Plane,
    disk: Disk,
    /// The effects that were carried out, by their first words.
    done: Vec<String>,
}

impl Device {
    /// A device that was never paired.
    fn unpaired() -> Self {
        Self::start(SoftTpm::new(None), Disk::new(None), 0)
    }

    /// A paired device whose lease holds.
    fn entitled() -> Self {
        let mut rig = Rig::entitled(100_000);
        rig.effects.clear();
        let (tpm, disk) = (SoftTpm::new(Some(EPOCH)), Disk::new(Some(rig.record.clone())));
        let plane = Plane::new(rig.key.clone(), EPOCH);
        Self { rig, tpm, plane, disk, done: Vec::new() }
    }

    fn start(tpm: SoftTpm, disk: Disk, above: u64) -> Self {
        let mut rig = Rig::new();
        rig.find(disk.found(&tpm));
        let plane = Plane::new(rig.key.clone(), above);
        Self { rig, tpm, plane, disk, done: Vec::new() }
    }

    /// Kills the process, and starts another one on the same disk, TPM and control plane.
    fn restart(&mut self) {
        self.rig.core = Rig::new().core;
        self.rig.effects.clear();
        self.rig.find(self.disk.found(&self.tpm));
    }

    fn pair(&mut self) {
        let request = PairRequest { again: true, reason: Text::lossy("moved"), ..PairRequest::default() };
        self.rig.feed(Input::Request(RequestId(1), Request::Pair(request)));
        assert!(matches!(self.rig.take_reply(), Some(Reply::Done)));
    }

    /// Takes the next effect that has a result.
    fn next(&mut self) -> Option<Effect> {
        let index = self.rig.position(|effect| {
            matches!(
                effect,
                Effect::Tpm(..)
                    | Effect::Write(..)
                    | Effect::Call(..)
                    | Effect::Gather(..)
                    | Effect::Examine(_)
            )
        })?;
        Some(self.rig.effects.remove(index))
    }

    /// Carries an effect out, and hands in its result.
    fn carry_out(&mut self, effect: Effect) {
        let result = self.perform(effect);
        self.rig.feed(result);
    }

    /// Carries an effect out, and returns its result.
    fn perform(&mut self, effect: Effect) -> Input {
        self.done.push(name(&effect));
        match effect {
            Effect::Tpm(ticket, command) => Input::Tpm(ticket, Ok(self.tpm.answer(&command))),
            Effect::Write(ticket, write) => Input::Written(ticket, self.disk.write(&write)),
            Effect::Call(ticket, call) => Input::Called(ticket, self.plane.answer(&call)),
            Effect::Gather(ticket, gather) => Input::Gathered(ticket, Ok(peers::gathered(gather))),
            Effect::Examine(ticket) => Input::Found(ticket, Box::new(self.disk.found(&self.tpm))),
            other => panic!("{other:?}"),
        }
    }

    /// Carries effects out until one is `stop`, which is returned, or none is left.
    fn run_until(&mut self, stop: impl Fn(&Effect) -> bool) -> Option<Effect> {
        for _ in 0..200 {
            let effect = self.next()?;
            if stop(&effect) {
                return Some(effect);
            }
            self.carry_out(effect);
        }
        panic!("no end: {:?}", self.done);
    }

    fn run(&mut self) {
        self.run_until(|_| false);
    }

    /// Fails an effect for a reason that may pass.
    fn fail(&mut self, effect: &Effect) {
        match effect {
            Effect::Tpm(ticket, _) => self.rig.fail(*ticket, TpmFailureKind::Transient),
            Effect::Write(ticket, _) => {
                self.rig.feed(Input::Written(*ticket, Err("no space left".to_owned())));
            }
            Effect::Call(ticket, _) => self.rig.feed(Input::Called(*ticket, Err(silence()))),
            Effect::Gather(ticket, _) => self.rig.feed(Input::Gathered(*ticket, Err("stopping".to_owned()))),
            Effect::Examine(ticket) => {
                let failure = TpmFailure {
                    kind: TpmFailureKind::Transient,
                    text: "busy".to_owned(),
                    remedy: String::new(),
                };
                self.rig.feed(Input::NotFound(*ticket, failure));
            }
            other => panic!("{other:?}"),
        }
    }

    fn stage(&self) -> SessionStage {
        self.rig.core.session().unwrap().stage
    }

    /// The code of the problem that the session shows.
    fn session_problem(&self) -> String {
        self.rig.core.session().unwrap().problem.map(|problem| problem.error).unwrap_or_default()
    }

    fn assert_paired(&self, epoch: u64) {
        assert_eq!(self.rig.core.status().record.map(|record| record.epoch), Some(Epoch(epoch)));
        assert_eq!(self.rig.problem(), "waiting");
        assert_eq!(self.tpm.counter, Some(epoch));
        assert!(self.disk.approved.is_none(), "the approval is left");
    }
}

/// The first words of an effect.
fn name(effect: &Effect) -> String {
    let text = match effect {
        Effect::Tpm(_, command) => format!("{command:?}"),
        Effect::Write(_, write) => format!("{write:?}"),
        Effect::Call(_, call) => format!("{call:?}"),
        Effect::Gather(_, gather) => format!("{gather:?}"),
        other => format!("{other:?}"),
    };
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}

fn is_call(effect: &Effect, is: impl Fn(&Call) -> bool) -> bool {
    matches!(effect, Effect::Call(_, call) if is(call))
}

fn is_write(effect: &Effect, is: impl Fn(&Write) -> bool) -> bool {
    matches!(effect, Effect::Write(_, write) if is(write))
}

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
    assert!(!device.rig.has(is_increment), "nothing is done on an approval before the disk has it");
    device.carry_out(kept.unwrap());
    assert!(device.rig.core.is_revoking());
    device.run();
    device.rig.feed(Input::Link(LinkInput::Delivered(ParcelKind::Receipt(Epoch(EPOCH)))));
    device.run();
    device.assert_paired(EPOCH + 1);
}

#[test]
fn an_approval_that_the_disk_did_not_take_changes_nothing() {
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
    assert!(!device.disk.is_reserved, "the reserved space is not given back");
}

#[test]
fn a_tpm_that_fails_at_any_command_of_a_session_changes_nothing() {
    let mut failed = Vec::new();
    loop {
        let mut device = Device::entitled();
        device.pair();
        // The next command that was not failed before.
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
fn a_full_disk_stops_the_request_and_not_the_approved_pairing() {
    let mut device = Device::entitled();
    device.disk.is_full = true;
    device.pair();
    device.run();
    assert_eq!(device.session_problem(), "state-not-kept");
    assert!(device.plane.request.is_none(), "the control plane was asked");
}

#[test]
fn a_granted_pairing_that_the_disk_did_not_take_is_ended() {
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
        assert_eq!(device.tpm.counter, Some(2), "the granted epoch goes on");
        assert_eq!(device.session_problem(), "state-not-kept");
        assert!(device.rig.core.status().record.is_none());
        assert!(
            device.done.contains(&"Receipt".to_owned()),
            "the control plane is not told: {:?}",
            device.done
        );
    }
}

#[test]
fn a_caller_who_pairs_while_a_pairing_is_created_is_told_to_follow_it() {
    let mut device = Device::unpaired();
    device.pair();
    device.run_until(|effect| is_call(effect, |call| matches!(call, Call::Prove(..))));
    device.rig.feed(Input::Request(RequestId(2), Request::Pair(PairRequest::default())));
    assert!(matches!(device.rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "pairing"));
    device.rig.feed(Input::Request(RequestId(3), Request::GiveUp));
    assert!(matches!(device.rig.take_reply(), Some(Reply::Refused(problem)) if problem.error == "approved"));
}

/// A device whose pairing the operator ended and wants anew; its session is open.
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
fn an_unattended_session_is_repeated_unless_a_person_is_wanted() {
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
    assert_eq!(device.stage(), SessionStage::Ending, "a session beside the approved one");
    device.carry_out(kept);
    device.run();
    device.assert_paired(EPOCH + 1);
}

/// Carries out `count` effects of a re-pair.
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
fn a_re_pair_that_is_cut_anywhere_leaves_the_old_pairing_or_the_new_one() {
    for count in 0.. {
        for is_carried_out in [false, true] {
            let mut device = cut_after(count, Device::entitled());
            if device.done.contains(&"Examine".to_owned()) {
                return;
            }
            // The process dies before the result of this effect comes.
            if let (true, Some(effect)) = (is_carried_out, device.next()) {
                device.perform(effect);
            }
            let is_kept = device.done.contains(&"Approved".to_owned());
            device.restart();
            device.run();
            // A grant that was lost with the process is not given twice: another session follows.
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

#[test]
fn a_caller_is_told_what_the_control_plane_made_of_an_approval() {
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
