//! The world: devices, broker and control plane on one virtual clock, and the queue of what happens next.

mod event;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use pawl_proto::message::{Access, Audience, EventKind, Scope};
use pawld::core::{Effect, Input};

pub use event::WorldEvent;

use crate::broker::{self, Broker, Client};
use crate::device::{self, AUDIENCE, Crash, Device, SCOPE};
use crate::https;
use crate::ledger::Ledger;
use crate::people::{self, People};
use crate::plan::{Action, Decision, HttpsFault};
use crate::plane::{Approvals, Plane, Setup};
use crate::promises::{self, Promise, Violation};
use crate::publisher::{self, Publisher};
use crate::rng::Rng;
use crate::seen::{Seen, Sight};
use crate::{disk, execute, faults, link};
use event::Scheduled;

/// Milliseconds of virtual time.
pub type Ms = u64;

/// After so many timers in a row a core must have done what was due.
const OVERDUE: u32 = 100;

/// How many devices a world has.
pub const DEVICES: usize = 2;

/// One world.
pub struct World {
    /// The true time.
    pub now: Ms,
    /// The devices.
    pub devices: Vec<Device>,
    /// The control plane.
    pub plane: Plane,
    /// Its connection to the broker.
    pub publisher: Publisher,
    /// The broker.
    pub broker: Broker,
    /// How the next calls over HTTPS fail.
    pub https: Option<(HttpsFault, u32)>,
    /// Persons.
    pub people: People,
    /// The facts of this world, independent of what its parts store.
    pub ledger: Ledger,
    /// What was seen.
    pub seen: Seen,
    /// Keys, configuration and persons.
    pub setup: Arc<Setup>,
    /// How many persons must approve.
    pub approvals: Approvals,
    /// Chance.
    pub rng: Rng,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// The steps so far.
    pub steps: u64,
    /// A digest of all steps: the same seed gives the same one.
    pub fingerprint: u64,
    queue: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    plan: Vec<Decision>,
    is_traced: bool,
}

impl World {
    /// Returns the world of a seed with this plan.
    #[must_use]
    pub fn new(setup: &Arc<Setup>, seed: u64, plan: Vec<Decision>, is_traced: bool) -> Self {
        let mut rng = Rng::of(seed, 5);
        let re_pair = *[0, 1, 1, 2].get(rng.index(4)).unwrap_or(&1);
        let approvals = Approvals {
            pair: *[0, 0, 1].get(rng.index(3)).unwrap_or(&0),
            re_pair,
            after_repair: if rng.chance(1, 2) { 0 } else { re_pair },
        };
        let mut world = Self {
            now: 0,
            devices: (0..DEVICES).map(|_| Device::new(rng.next())).collect(),
            plane: Plane::new(setup, rng.next(), approvals),
            publisher: Publisher::default(),
            broker: Broker::default(),
            https: None,
            people: People::default(),
            ledger: Ledger::new(DEVICES),
            seen: Seen::default(),
            setup: Arc::clone(setup),
            approvals,
            rng,
            violation: None,
            steps: 0,
            fingerprint: 0xcbf2_9ce4_8422_2325,
            queue: BinaryHeap::new(),
            scheduled: 0,
            plan,
            is_traced,
        };
        world.enrol();
        world.at(1, WorldEvent::PlaneTick);
        for index in 0..DEVICES {
            let start = world.rng.between(10, 3_000);
            world.at(start, WorldEvent::Start(index, 0));
        }
        for (number, decision) in world.plan.clone().iter().enumerate() {
            world.at(decision.at, WorldEvent::Decision(number));
        }
        world
    }

    fn enrol(&mut self) {
        let devices: Vec<_> =
            self.devices.iter().map(|device| (device.tpm.device(), device.tpm.ek_sha256())).collect();
        let granted =
            Access { scopes: vec![Scope::lossy(SCOPE)], audiences: vec![Audience::lossy(AUDIENCE)] };
        let enrolled = self.plane.look(move |tx| {
            for (id, ek_sha256) in devices {
                tx.enrol(ek_sha256, None, 1)?;
                tx.set_granted(id, &granted)?;
            }
            Ok(())
        });
        if let Err(error) = enrolled {
            panic!("the devices cannot be enrolled: {error}");
        }
    }

    /// Has something happen at this time.
    pub fn at(&mut self, at: Ms, event: WorldEvent) {
        self.scheduled += 1;
        let number = self.scheduled;
        self.queue.push(Reverse(Scheduled { at: at.max(self.now), number, event }));
    }

    /// Has something happen after so many ms.
    pub fn after(&mut self, ms: Ms, event: WorldEvent) {
        self.at(self.now.saturating_add(ms), event);
    }

    /// Tells what happens, where somebody wants to know.
    pub fn trace(&self, text: impl FnOnce() -> String) {
        if self.is_traced {
            println!("{:>10.3} {}", f64::from(u32::try_from(self.now).unwrap_or(u32::MAX)) / 1000.0, text());
        }
    }

    /// Tells an effect.
    pub fn trace_effect(&self, index: usize, effect: &Effect) {
        self.trace(|| {
            let text = format!("{effect:?}");
            let short: String = text.chars().take(180).collect();
            format!("device {index}:   {short}")
        });
    }

    /// Runs until this time, until nothing more happens, or until a promise is broken.
    pub fn run_until(&mut self, until: Ms) {
        while self.violation.is_none() {
            match self.queue.peek() {
                Some(Reverse(next)) if next.at <= until => {}
                _ => break,
            }
            let Some(Reverse(Scheduled { at, event, .. })) = self.queue.pop() else { break };
            self.now = at;
            self.plane.set_time(at);
            self.step(event);
        }
        self.now = self.now.max(until);
        self.plane.set_time(self.now);
    }

    /// Returns when the last decision of the plan is.
    #[must_use]
    pub fn end_of_plan(&self) -> Ms {
        self.plan.last().map_or(0, |decision| decision.at)
    }

    fn step(&mut self, event: WorldEvent) {
        self.steps += 1;
        let (kind, device) = event.kind();
        for value in [self.now, kind, u64::try_from(device.unwrap_or(9)).unwrap_or(0)] {
            self.fingerprint = (self.fingerprint ^ value).wrapping_mul(0x0100_0000_01b3);
        }
        // A machine that sleeps does nothing, and hears nothing.
        if let Some(machine) = device.and_then(|index| self.devices.get(index))
            && machine.asleep_until > self.now
            && event.is_at_a_device()
        {
            let until = machine.asleep_until;
            return self.at(until, event);
        }
        self.dispatch(event);
        promises::check(self, device);
    }

    fn is_current(&self, index: usize, run: u64) -> bool {
        self.devices.get(index).is_some_and(|device| device.run == run && device.process.is_some())
    }

    fn dispatch(&mut self, event: WorldEvent) {
        match event {
            WorldEvent::Decision(number) => {
                if let Some(decision) = self.plan.get(number).copied() {
                    self.trace(|| format!("-- device {}: {:?}", decision.device, decision.action));
                    self.decide(decision);
                }
            }
            WorldEvent::Start(index, run)
                if self.devices.get(index).is_some_and(|device| device.run == run) =>
            {
                device::start(self, index);
            }
            WorldEvent::Timer(index, run) if self.is_current(index, run) => {
                if let Some(process) = self.devices.get_mut(index).and_then(|device| device.process.as_mut())
                {
                    process.timer_at = None;
                    if process.overdue > OVERDUE {
                        let detail = format!("device {index}: the core's deadline stays in the past");
                        return self.broken(Promise::DeadlinesPass, detail);
                    }
                }
                execute::feed(self, index, Input::Timer);
            }
            WorldEvent::TpmDone(index, run) if self.is_current(index, run) => {
                execute::command_done(self, index)
            }
            WorldEvent::DiskDone(index, run) if self.is_current(index, run) => {
                execute::write_done(self, index)
            }
            WorldEvent::Connect { device, run, link } => link::connect(self, device, run, link),
            WorldEvent::Suback { device, run, connection, granted } if self.is_current(device, run) => {
                link::subscribed(self, device, connection, granted);
            }
            WorldEvent::Puback { device, run, connection, fate } if self.is_current(device, run) => {
                link::acknowledged(self, device, connection, fate);
            }
            WorldEvent::Message { client, connection, id, topic, payload } => {
                if client < self.devices.len() {
                    link::message(self, client, connection, id, topic, payload);
                } else {
                    publisher::message(self, connection, id, &topic, &payload);
                }
            }
            WorldEvent::Cut(client) => self.cut(client),
            WorldEvent::Request { device, run, ticket, request, fault, begun } => {
                https::arrived(self, device, run, ticket, *request, fault, begun);
            }
            WorldEvent::Answer { device, run, ticket, answer } if self.is_current(device, run) => {
                https::answered(self, device, ticket, answer);
            }
            WorldEvent::PlaneTick => publisher::tick(self),
            WorldEvent::PlanePuback { connection, parcel, is_taken } => {
                publisher::acknowledged(self, connection, parcel, is_taken);
            }
            WorldEvent::PlaneStalled { connection } => publisher::stalled(self, connection),
            WorldEvent::TimeIsSet(index) => {
                if let Some(device) = self.devices.get_mut(index) {
                    device.wall_offset = 0;
                    self.saw(Sight::TimeSet);
                }
            }
            WorldEvent::DiskRepaired(index) if self.ledger.is_disk_repaired(index, self.now) => {
                self.repair_disk(index);
            }
            // What an ended process began.
            _ => {}
        }
    }

    fn cut(&mut self, client: Client) {
        let connection = self.broker.connection(client);
        match self.devices.get(client) {
            Some(device) => {
                let link = device.process.as_ref().and_then(|process| process.link.as_ref());
                let held = link.and_then(|link| link.connection);
                if held.is_some() && held != connection {
                    link::lost(self, client, "the connection was cut".to_owned());
                }
            }
            None => publisher::cut(self, connection),
        }
    }

    /// The control plane has done something, and may have something to publish.
    pub fn plane_acted(&mut self) {
        if !std::mem::replace(&mut self.publisher.is_woken, true) {
            let latency = self.rng.between(1, 10);
            self.after(latency, WorldEvent::PlaneTick);
        }
    }

    fn decide(&mut self, decision: Decision) {
        let Decision { device: index, action, salt, .. } = decision;
        match action {
            Action::Pair { again } => people::pair(self, index, again),
            Action::GiveUp => people::give_up(self, index),
            Action::Wipe => self.wipe(index, false),
            Action::Deprovision => self.wipe(index, true),
            Action::ApproveHere { person } => people::approve_here(self, index, person),
            Action::ReplayApproval => people::replay(self, index, salt),
            Action::Confirm => people::confirm(self, index, true),
            Action::WrongConfirmation => people::confirm(self, index, false),
            Action::ApproveElsewhere { person } => people::approve_elsewhere(self, index, person, true),
            Action::ApproveElsewhereWrongCode { person } => {
                people::approve_elsewhere(self, index, person, false)
            }
            Action::Decline => people::decline(self, index),
            Action::Revoke => people::order(self, index, EventKind::Revoke),
            Action::Repair => people::order(self, index, EventKind::Repair),
            Action::Refresh => people::order(self, index, EventKind::Refresh),
            Action::Suspend => people::set_standing(self, index, false),
            Action::Resume => people::set_standing(self, index, true),
            Action::Narrow => people::entitle(self, index, false),
            Action::Widen => people::entitle(self, index, true),
            Action::Accept => people::accept(self, index),
            Action::Settle => people::settle(self, index),
            Action::Stop => device::stop(self, index, salt.is_multiple_of(3)),
            Action::Kill => self.crash(index, false),
            Action::PowerCut => self.crash(index, true),
            Action::KillAfter { effects } => self.arm(index, Crash { effects, is_power: false }),
            Action::CutAfter { effects } => self.arm(index, Crash { effects, is_power: true }),
            other => faults::begin(self, index, other, salt),
        }
    }

    fn wipe(&mut self, index: usize, is_deprovision: bool) {
        if self.devices.get(index).is_some_and(|device| device.process.is_some()) {
            self.ledger.technician_wipes(index);
            if !is_deprovision {
                self.saw(Sight::WipeAsked);
            }
        }
        let request = if is_deprovision {
            pawld::core::Request::Deprovision
        } else {
            pawld::core::Request::Wipe(pawl_proto::Text::lossy("a technician"))
        };
        device::request(self, index, request);
    }

    fn crash(&mut self, index: usize, is_power: bool) {
        if self.devices.get(index).is_some_and(|device| device.process.is_some()) {
            device::crash(self, index, is_power);
        }
    }

    fn arm(&mut self, index: usize, crash: Crash) {
        if let Some(device) = self.devices.get_mut(index) {
            device.crash = Some(crash);
        }
    }

    /// Counts a sight.
    pub fn saw(&mut self, sight: Sight) {
        self.seen.saw(sight);
    }

    /// Cuts every client's connection.
    pub fn cut_all(&mut self) {
        for client in 0..=self.devices.len() {
            broker::cut(self, client);
        }
    }

    /// Ends what is wrong with a disk.
    pub fn repair_disk(&mut self, index: usize) {
        if let Some(device) = self.devices.get_mut(index) {
            let disk: &disk::ModelDisk = &device.disk;
            disk.repair();
        }
    }
}
