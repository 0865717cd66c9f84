//! Whether a device can be mended: the fair continuation, played out.
//!
//! A search could only say that some path leads back. This is the path that the documents promise:
//! nothing more goes wrong, the daemon does its own work, the broker delivers, and where that does
//! not suffice a technician runs `pawlctl re-pair` and a person approves. It does not look at the
//! bounds, so no state is lost because an allowance ran out before it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use stateright::Model as _;

use crate::broker;
use crate::control_plane::{SessionNo, Stage};
use crate::device::{Phase, Talk};
use crate::fleet::DeviceId;
use crate::people::{Approval, Person};
use crate::world::{Action, Answer, State, World};

/// More than any mending takes.
const PATIENCE: usize = 64;

/// Whether each device reaches `entitled`.
pub(crate) fn can_be_mended(world: &World, state: &State) -> bool {
    DeviceId::ALL.into_iter().all(|device| mend(world, state, device))
}

fn mend(world: &World, state: &State, device: DeviceId) -> bool {
    let mut passed = vec![Mended::key(state, device)];
    let mut now = Cow::Borrowed(state);
    while passed.len() < PATIENCE {
        if passed.last().is_some_and(|key| world.mended.contains(*key)) || is_entitled(&now, device) {
            world.mended.extend(passed);
            return true;
        }
        let remedies = remedies(world, &now, device).into_iter();
        let Some(next) = remedies.map(|action| world.next_state(&now, action)).find_map(|next| next) else {
            return false;
        };
        passed.push(Mended::key(&next, device));
        now = Cow::Owned(next);
    }
    false
}

/// What was found to be mendable, by a hash of all that its mending looks at: the device, and what
/// the control plane and people know; not the other device.
#[derive(Debug, Default)]
pub(crate) struct Mended(Mutex<HashSet<u64>>);

impl Mended {
    fn key(state: &State, device: DeviceId) -> u64 {
        let mut hasher = DefaultHasher::new();
        (device, state.devices.of(device), &state.control_plane, &state.signed).hash(&mut hasher);
        hasher.finish()
    }

    fn contains(&self, key: u64) -> bool {
        self.lock().contains(&key)
    }

    fn extend(&self, keys: Vec<u64>) {
        self.lock().extend(keys);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// It serves tokens, of a pairing that the control plane holds for live.
fn is_entitled(state: &State, device: DeviceId) -> bool {
    let gate = state.devices.of(device).gate();
    gate.is_some_and(|served| state.control_plane.is_live(served.pairing))
}

/// What is tried, in this order: the first that changes something is done.
fn remedies(world: &World, state: &State, device: DeviceId) -> Vec<Action> {
    let mut remedies = vec![Action::Start(device), Action::Step(device)];
    match state.devices.of(device).talk() {
        Talk::Asked(_) => remedies.push(Action::OpenSession(device, Answer::Arrives)),
        Talk::Proven(session) => approve(world, state, device, session, &mut remedies),
        Talk::Keyed(..) => remedies.push(Action::Prove(device, Answer::Arrives)),
        Talk::None => from_without(state, device, &mut remedies),
        Talk::Approved(_) | Talk::Resumed(_) | Talk::Kept(_) | Talk::Granted(_) | Talk::Commit(..) => {}
    }
    remedies
}

fn approve(world: &World, state: &State, device: DeviceId, session: SessionNo, remedies: &mut Vec<Action>) {
    remedies.push(Action::Poll(device, session));
    let waits = state.control_plane.session(session).is_some_and(|session| session.stage == Stage::Waiting);
    for person in (0..world.policy.people()).map(Person).filter(|_| waits) {
        remedies.push(Action::Sign(person, device));
        remedies.push(Action::Submit(device, Approval { session, person, at: device }));
    }
}

/// A lease, if the pairing lives; else the event that says that it does not, and the technician.
fn from_without(state: &State, device: DeviceId, remedies: &mut Vec<Action>) {
    let phase = state.devices.of(device).process.map(|process| process.phase);
    match phase {
        Some(Phase::Paired(record)) if state.control_plane.is_live(record.pairing) => {
            remedies.push(Action::OpenGate(device));
        }
        Some(Phase::Paired(_)) => {
            let events = broker::events(&state.control_plane);
            remedies.extend(events.map(|event| Action::Deliver(device, event)));
        }
        Some(Phase::Idle | Phase::Wiping(..)) | None => {}
    }
    remedies.push(Action::Ask { device, replaces: false });
}
