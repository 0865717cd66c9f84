use super::{Action, Answer, State, World};
use crate::control_plane::{Approved, Proof, SessionNo, Stage};
use crate::device::{Disk, Talk};
use crate::fleet::DeviceId;
use crate::people::{Approval, Person};
use crate::tpm::Image;

/// Does it; none when it cannot happen now, is refused, or changes nothing.
pub(super) fn apply(world: &World, state: &mut State, action: Action) -> Option<()> {
    let rules = &world.rules;
    match action {
        Action::Start(device) => state.devices.of_mut(device).start(rules, device),
        Action::Step(device) => state.devices.of_mut(device).step(rules, device),
        Action::OpenGate(device) => state.devices.of_mut(device).open_gate(rules, device),

        Action::Ask { device, replaces } => ask(world, state, device, replaces),
        Action::OpenSession(device, answer) => open_session(world, state, device, answer),
        Action::Poll(device, session) => poll(world, state, device, session),
        Action::Prove(device, answer) => prove(world, state, device, answer),

        Action::Sign(person, device) => sign(state, person, device),
        Action::Submit(device, approval) => {
            let Talk::Proven(session) = state.devices.of(device).talk() else { return None };
            state.control_plane.count(rules, session, approval)
        }
        Action::ApproveElsewhere(approval) => state.control_plane.approve_elsewhere(rules, approval),
        Action::Confirm(device) => {
            let Talk::Proven(session) = state.devices.of(device).talk() else { return None };
            state.control_plane.confirm(rules, session, device)
        }

        Action::Order(device, order) => state.control_plane.order(device, order),
        Action::Deliver(device, event) => state.devices.of_mut(device).receive(rules, device, event),

        Action::Kill(device) => state.devices.of_mut(device).kill(),
        Action::CutPower(device) => {
            let device = state.devices.of_mut(device);
            device.process?;
            device.cut_power();
            Some(())
        }
        Action::Copy(device) => copy(state, device),
        Action::PutBack(device) => {
            let (of, disk) = state.copy.clone()?;
            if of == device {
                state.devices.of_mut(device).held = disk.holds();
            }
            change_disk(world, state, device, disk)
        }
        Action::NewDisk(device) => change_disk(world, state, device, Disk::default()),
        Action::BootOther(device) => boot_other(world, state, device),
        Action::Expire(session) => state.control_plane.expire(session),
        Action::Redefine(device) => {
            let device = state.devices.of_mut(device);
            device.process = None;
            device.tpm.redefine(rules);
            device.tampered = true;
            Some(())
        }
        Action::SkipTheWipe(device) => {
            let device = state.devices.of_mut(device);
            let Talk::Approved(approved) = device.talk() else { return None };
            let epoch = device.tpm.create_keys(approved.session);
            device.set_talk(Talk::Keyed(approved, epoch))
        }
        Action::Adopt(device, session) => adopt(world, state, device, session),
    }
}

fn ask(world: &World, state: &mut State, device: DeviceId, replaces: bool) -> Option<()> {
    if !state.devices.of(device).may_ask() {
        return None;
    }
    let session = state.control_plane.offer(device, replaces)?;
    state.devices.of_mut(device).asked(&world.rules, session)
}

fn open_session(world: &World, state: &mut State, device: DeviceId, answer: Answer) -> Option<()> {
    let Talk::Asked(session) = state.devices.of(device).talk() else { return None };
    let boot = state.devices.of(device).boot;
    let opened = state.control_plane.open(&world.rules, &world.policy, session, boot);
    let heard = opened.is_some() && answer == Answer::Arrives;
    state.devices.of_mut(device).set_talk(if heard { Talk::Proven(session) } else { Talk::None })
}

/// The answer to `session` reaches a device that waits for its own.
fn poll(world: &World, state: &mut State, device: DeviceId, session: SessionNo) -> Option<()> {
    let Talk::Proven(own) = state.devices.of(device).talk() else { return None };
    if session != own && world.rules.an_answer_names_its_session {
        return None;
    }
    let talk = match state.control_plane.session(session)?.stage {
        Stage::Approved { above } => Talk::Approved(Approved { session: own, device, above }),
        Stage::Over if session == own => Talk::None,
        Stage::Offered | Stage::Waiting | Stage::Spent | Stage::Over => return None,
    };
    state.devices.of_mut(device).set_talk(talk)
}

fn prove(world: &World, state: &mut State, device: DeviceId, answer: Answer) -> Option<()> {
    let prover = state.devices.of_mut(device);
    let Talk::Keyed(approved, epoch) = prover.talk() else { return None };
    let proof = Proof {
        session: approved.session,
        tpm: device,
        epoch,
        counter: prover.tpm.counter,
        boot: prover.boot,
    };
    let opened = approved.device == device || !world.rules.a_credential_opens_in_one_tpm;
    let granted = opened.then(|| state.control_plane.grant(&world.rules, proof)).flatten();
    match (granted, answer) {
        (Some(record), Answer::Arrives) => prover.set_talk(Talk::Granted(record)),
        // It does not know, and will ask again.
        (Some(_), Answer::Lost) => Some(()),
        (None, Answer::Arrives) if world.rules.a_refused_session_is_given_up => prover.give_up(),
        (None, _) => None,
    }
}

fn sign(state: &mut State, person: Person, device: DeviceId) -> Option<()> {
    let Talk::Proven(session) = state.devices.of(device).talk() else { return None };
    state.signed.add(Approval { session, person, at: device }).then_some(())
}

/// One copy is kept in the world; that of an empty disk would be a new disk.
fn copy(state: &mut State, device: DeviceId) -> Option<()> {
    let disk = &state.devices.of(device).disk;
    if state.copy.is_some() || (*disk == Disk::default()) {
        return None;
    }
    state.copy = Some((device, disk.clone()));
    Some(())
}

fn change_disk(world: &World, state: &mut State, device: DeviceId, disk: Disk) -> Option<()> {
    let changed = state.devices.of_mut(device);
    changed.cut_power();
    changed.disk = disk;
    changed.start(&world.rules, device)
}

fn boot_other(world: &World, state: &mut State, device: DeviceId) -> Option<()> {
    let booted = state.devices.of_mut(device);
    booted.cut_power();
    booted.boot = match booted.boot {
        Image::Known => Image::Other,
        Image::Other => Image::Known,
    };
    booted.start(&world.rules, device)
}

fn adopt(world: &World, state: &mut State, device: DeviceId, session: SessionNo) -> Option<()> {
    let open = state.control_plane.session(session)?;
    let Stage::Approved { above } = open.stage else { return None };
    // Without its credential an answer is of no use to another TPM.
    if open.device == device || world.rules.a_credential_opens_in_one_tpm {
        return None;
    }
    state.devices.of_mut(device).set_talk(Talk::Approved(Approved { session, device, above }))
}
