use super::{State, World};
use crate::bounds::Cost;
use crate::broker::{self, Event};
use crate::control_plane::{Order, SessionNo, Stage};
use crate::device::Talk;
use crate::fleet::DeviceId;
use crate::people::{Approval, Person};

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The daemon starts.
    Start(DeviceId),
    /// The device does its next local step.
    Step(DeviceId),
    /// The TPM is asked to accept the lease, and does.
    OpenGate(DeviceId),

    /// `pawlctl re-pair`, up to the offer; perhaps in the other device's place.
    Ask {
        /// Who asks.
        device: DeviceId,
        /// `--replaces`
        replaces: bool,
    },
    /// The device proves that the session is its TPM's.
    OpenSession(DeviceId, Answer),
    /// The device hears how a session stands; a swapped answer is about another one.
    Poll(DeviceId, SessionNo),
    /// The device sends certified keys for the pairing.
    Prove(DeviceId, Answer),

    /// A person signs what the device before them shows.
    Sign(Person, DeviceId),
    /// The device sends this signature in its own session, whatever it was made for.
    Submit(DeviceId, Approval),
    /// A person, at the device `at`, approves elsewhere the session whose code they were given.
    ApproveElsewhere(Approval),
    /// They type the confirmation that they were shown into that device.
    Confirm(DeviceId),

    /// The operator ends a pairing.
    Order(DeviceId, Order),
    /// An event of the broker reaches a device: once more, late, or on the wrong topic.
    Deliver(DeviceId, Event),

    /// The process is killed. The system runs on.
    Kill(DeviceId),
    /// The power fails.
    CutPower(DeviceId),
    /// Somebody copies a disk.
    Copy(DeviceId),
    /// Somebody puts the copy into a device, and starts that.
    PutBack(DeviceId),
    /// Somebody puts a new disk into a device, and starts that.
    NewDisk(DeviceId),
    /// The device is started with another image.
    BootOther(DeviceId),
    /// A session's time is over.
    Expire(SessionNo),
    /// Root stops the daemon, undefines the counter and defines it again.
    Redefine(DeviceId),
    /// Root on the device goes on from the approval without the wipe.
    SkipTheWipe(DeviceId),
    /// Root on the device goes on with the other device's approved session as if it were its own.
    Adopt(DeviceId, SessionNo),
}

/// Whether the device hears what the control plane did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It does.
    Arrives,
    /// The connection breaks first.
    Lost,
}

impl Action {
    pub(crate) fn cost(self, state: &State) -> Cost {
        match self {
            Self::Start(_)
            | Self::Step(_)
            | Self::OpenGate(_)
            | Self::OpenSession(_, Answer::Arrives)
            | Self::Poll(..)
            | Self::Prove(_, Answer::Arrives)
            | Self::Sign(..)
            | Self::Submit(..)
            | Self::Confirm(_)
            | Self::Deliver(..)
            | Self::Copy(_) => Cost::Free,
            Self::Ask { .. } => Cost::Session,
            Self::Order(..) => Cost::Order,
            Self::ApproveElsewhere(approval) => {
                let shown_here = state
                    .control_plane
                    .session(approval.session)
                    .is_some_and(|session| session.device == approval.at);
                if shown_here { Cost::Free } else { Cost::Fault }
            }
            Self::OpenSession(_, Answer::Lost)
            | Self::Prove(_, Answer::Lost)
            | Self::Kill(_)
            | Self::CutPower(_)
            | Self::PutBack(_)
            | Self::NewDisk(_)
            | Self::BootOther(_)
            | Self::Expire(_)
            | Self::Redefine(_)
            | Self::SkipTheWipe(_)
            | Self::Adopt(..) => Cost::Fault,
        }
    }
}

/// All that may happen now, within the bounds. Some of it turns out to change nothing.
pub(super) fn possible(world: &World, state: &State, actions: &mut Vec<Action>) {
    let busy = |device: &DeviceId| state.devices.of(*device).is_busy();
    if let Some(busy) = DeviceId::ALL.into_iter().find(busy).filter(|_| !world.every_order) {
        // What others do meanwhile neither sees this device's own work nor is seen by it, and might
        // as well come before or after: only what befalls this device must be tried in between.
        actions.extend([Action::Step(busy), Action::OpenGate(busy)]);
        of_misfortune(state, busy, actions);
        return;
    }
    for device in DeviceId::ALL {
        of_device(state, device, actions);
        of_people(world, state, device, actions);
        actions.extend(broker::events(&state.control_plane).map(|event| Action::Deliver(device, event)));
        of_misfortune(state, device, actions);
    }
    for (session, _) in state.control_plane.sessions() {
        actions.push(Action::Expire(session));
    }
    actions.retain(|action| state.left.allows(action.cost(state)));
}

fn of_device(state: &State, device: DeviceId, actions: &mut Vec<Action>) {
    actions.extend([
        Action::Start(device),
        Action::Step(device),
        Action::OpenGate(device),
        Action::Ask { device, replaces: false },
        Action::Ask { device, replaces: true },
    ]);
    match state.devices.of(device).talk() {
        Talk::Asked(_) => {
            actions.extend([Answer::Arrives, Answer::Lost].map(|answer| Action::OpenSession(device, answer)));
        }
        Talk::Proven(_) => {
            let sessions = state.control_plane.sessions();
            actions.extend(sessions.map(|(number, _)| Action::Poll(device, number)));
        }
        Talk::Keyed(..) => {
            actions.extend([Answer::Arrives, Answer::Lost].map(|answer| Action::Prove(device, answer)));
        }
        Talk::None
        | Talk::Approved(_)
        | Talk::Resumed(_)
        | Talk::Kept(_)
        | Talk::Granted(_)
        | Talk::Commit(..) => {}
    }
    for order in [Order::Revoke, Order::Repair] {
        actions.push(Action::Order(device, order));
    }
}

fn of_people(world: &World, state: &State, device: DeviceId, actions: &mut Vec<Action>) {
    let people = (0..world.policy.people()).map(Person);
    for (session, open) in state.control_plane.sessions() {
        if open.stage == Stage::Waiting {
            let elsewhere = people.clone().map(|person| Approval { session, person, at: device });
            actions.extend(elsewhere.map(Action::ApproveElsewhere));
        }
    }
    if let Talk::Proven(_) = state.devices.of(device).talk() {
        actions.extend(people.map(|person| Action::Sign(person, device)));
        actions.extend(state.signed.iter().map(|approval| Action::Submit(device, approval)));
        actions.push(Action::Confirm(device));
    }
}

fn of_misfortune(state: &State, device: DeviceId, actions: &mut Vec<Action>) {
    if !state.left.allows(Cost::Fault) {
        return;
    }
    actions.extend([
        Action::Kill(device),
        Action::CutPower(device),
        Action::Copy(device),
        Action::PutBack(device),
        Action::NewDisk(device),
        Action::BootOther(device),
        Action::Redefine(device),
        Action::SkipTheWipe(device),
    ]);
    let sessions = state.control_plane.sessions();
    actions.extend(sessions.map(|(number, _)| Action::Adopt(device, number)));
}
