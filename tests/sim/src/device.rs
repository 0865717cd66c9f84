//! A device: its hardware, and the process that runs the daemon's core on it.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::Duration;

use pawl_local_api::SessionStage;
use pawl_proto::message::Scope;
use pawl_proto::{Nonce, Text};
use pawld::core::{
    Core, Input, MessageId, Parcel, RequestId, Settings, Ticket, TokenSettings, TpmCommand, Write,
};
use pawld::simulation::{self, Parts};

use crate::broker;
use crate::disk::{Image, ModelDisk, Stop};
use crate::execute;
use crate::plane::BEGIN;
use crate::rng::Rng;
use crate::seen::Sight;
use crate::tpm::Tpm;
use crate::world::{Ms, World, WorldEvent};

/// The state directory on every disk.
pub const ROOT: &str = "/var/lib/pawl";
/// The token of the configuration.
pub const TOKEN: &str = "telemetry";
/// Its scope.
pub const SCOPE: &str = "telemetry";
/// Its audience.
pub const AUDIENCE: &str = "https://api.example";

/// One machine.
pub struct Device {
    /// Its TPM, which stays with it.
    pub tpm: Tpm,
    /// Its disk, which a fault may exchange.
    pub disk: ModelDisk,
    /// The daemon, while it runs.
    pub process: Option<Process>,
    /// Counts the processes: the result of an operation that an earlier process began reaches no later one.
    pub run: u64,
    /// When CLOCK_BOOTTIME was 0.
    pub booted_at: Ms,
    /// Counts the boots.
    pub boot: u64,
    /// How far the wall clock is ahead of the true time, ms.
    pub wall_offset: i64,
    /// Until when it is suspended to RAM.
    pub asleep_until: Ms,
    /// The image that the next boot runs.
    pub boots: u8,
    /// The process ends after so many more effects.
    pub crash: Option<Crash>,
    /// How long each command takes, until when.
    pub tpm_slow: (Ms, Ms),
    /// How long each write takes, until when.
    pub disk_slow: (Ms, Ms),
    /// A copy of a disk, as somebody made it.
    pub copy: Option<Image>,
    /// Chance at this device.
    pub rng: Rng,
}

/// A process that is about to end between two effects.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// After so many more.
    pub effects: u32,
    /// The whole machine loses power.
    pub is_power: bool,
}

/// A running daemon.
pub struct Process {
    /// The state machine.
    pub core: Core,
    /// Store, gate, vault and records.
    pub parts: Parts,
    /// The commands that wait for the TPM's thread; the first one runs.
    pub tpm: VecDeque<(Ticket, TpmCommand)>,
    /// The writes that wait; the first one runs.
    pub writes: VecDeque<(Ticket, Write, Option<Vec<u8>>)>,
    /// The connection to the broker.
    pub link: Option<Link>,
    /// The broker's messages that the core has not acknowledged.
    pub messages: BTreeMap<MessageId, Inbound>,
    /// The latest time at which a timer event is queued.
    pub timer_at: Option<Ms>,
    /// How often in a row the core's deadline had passed when the core had done what was due.
    pub overdue: u32,
    /// The requests of callers.
    pub requests: u64,
    /// Names messages.
    pub next: u64,
    /// The run of the daemon, as reports name it.
    pub nonce: Nonce,
}

/// A message of the broker on its way through the core.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Its id at the broker.
    pub id: u64,
    /// The connection on which it came.
    pub connection: u64,
    /// What it is.
    pub payload: Vec<u8>,
}

/// The link to the broker, as `pawld`'s own keeps it.
#[derive(Debug)]
pub struct Link {
    /// Counts the links of a process.
    pub number: u64,
    /// The epoch of the link key.
    pub epoch: u64,
    /// The connection that stands.
    pub connection: Option<u64>,
    /// What is to be published; the first one may be in flight.
    pub outbox: VecDeque<Parcel>,
    /// The first parcel is in flight.
    pub in_flight: bool,
    /// The first connection of a link starts with a clean session.
    pub is_first: bool,
    /// The next pause between two attempts.
    pub pause: Ms,
}

impl Device {
    /// Returns a device of this seed, with an empty disk and without a counter.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            tpm: Tpm::new(seed),
            disk: new_disk(),
            process: None,
            run: 0,
            booted_at: 0,
            boot: 0,
            wall_offset: 0,
            asleep_until: 0,
            boots: 0,
            crash: None,
            tpm_slow: (0, 0),
            disk_slow: (0, 0),
            copy: None,
            rng: Rng::of(seed, 4),
        }
    }

    /// Has the daemon's code see this device's clocks.
    pub fn set_clocks(&self, now: Ms) {
        let wall = (BEGIN + now).saturating_add_signed(self.wall_offset);
        simulation::set_clocks(
            Duration::from_millis(now.saturating_sub(self.booted_at)),
            Duration::from_millis(wall),
        );
    }

    /// Returns the id of the present boot.
    #[must_use]
    pub fn boot_id(&self) -> Text<64> {
        Text::lossy(&format!("boot-{}", self.boot))
    }
}

/// Returns a disk with an empty state directory, as the installation of the package makes it.
#[must_use]
pub fn new_disk() -> ModelDisk {
    let disk = ModelDisk::default();
    let mount = disk.mount();
    let folders = Path::new(ROOT).ancestors();
    if mount.make_folder(Path::new(ROOT)).is_ok() {
        for folder in folders {
            let _ = mount.sync_folder(folder);
        }
    }
    disk
}

/// The configuration of every device.
fn settings() -> Settings {
    let token = TokenSettings {
        name: TOKEN.to_owned(),
        scopes: vec![SCOPE.to_owned()],
        audience: AUDIENCE.to_owned(),
        named_audience: Some(AUDIENCE.to_owned()),
    };
    Settings {
        tokens: vec![token],
        pairs_by_itself: true,
        counter: crate::tpm::COUNTER,
        scopes: vec![Scope::lossy(SCOPE)],
        audiences: vec![pawl_proto::message::Audience::lossy(AUDIENCE)],
    }
}

/// systemd starts the daemon; it does so again when the start fails.
pub fn start(world: &mut World, index: usize) {
    let now = world.now;
    let Some(device) = world.devices.get_mut(index) else { return };
    if device.process.is_some() {
        return;
    }
    device.set_clocks(now);
    let parts = match Parts::open(device.disk.mount(), Path::new(ROOT), device.boot_id()) {
        Ok(parts) => parts,
        Err(error) => {
            world.trace(|| format!("device {index}: the state directory cannot be used: {error}"));
            if !recover_power(world, index) {
                again(world, index);
            }
            return;
        }
    };
    let seed = device.rng.next();
    let mut nonce = [0; 32];
    pawl_evidence::rand_core::RngCore::fill_bytes(&mut device.rng, &mut nonce);
    let core = Core::new(parts.now(), settings(), seed);
    device.process = Some(Process {
        core,
        parts,
        tpm: VecDeque::new(),
        writes: VecDeque::new(),
        link: None,
        messages: BTreeMap::new(),
        timer_at: None,
        overdue: 0,
        requests: 0,
        next: 0,
        nonce: Nonce(nonce),
    });
    match execute::examine(world, index, Ticket::START) {
        Some(input @ Input::Found(..)) => {
            world.trace(|| format!("device {index}: pawld starts"));
            execute::feed(world, index, input);
            // A session that this process opens takes longer than its first input to be approved.
            let process = world.devices.get(index).and_then(|device| device.process.as_ref());
            let session = process.and_then(|process| process.core.session());
            if session.is_some_and(|session| session.stage == SessionStage::Pairing) {
                world.saw(Sight::ApprovalResumed);
            }
        }
        Some(_) => {
            // The TPM does not even tell its counter.
            if let Some(device) = world.devices.get_mut(index) {
                device.process = None;
                device.disk.restart(Stop::Process, &mut |_| 0);
            }
            again(world, index);
        }
        None => {}
    }
}

fn again(world: &mut World, index: usize) {
    let Some(device) = world.devices.get_mut(index) else { return };
    device.run += 1;
    let run = device.run;
    world.after(5_000, WorldEvent::Start(index, run));
}

/// The process is killed, or the machine loses power.
pub fn crash(world: &mut World, index: usize, is_power: bool) {
    let now = world.now;
    let Some(device) = world.devices.get_mut(index) else { return };
    world.seen.saw(if is_power { Sight::PowerCut } else { Sight::ProcessKilled });
    // The TPM may complete the command that it has begun; no process gets the answer.
    let begun = device.process.as_mut().and_then(|process| process.tpm.pop_front());
    if let Some((_, command)) = begun
        && device.rng.chance(1, 2)
    {
        let _ = execute::run(world, index, command);
    }
    let Some(device) = world.devices.get_mut(index) else { return };
    device.run += 1;
    device.crash = None;
    let run = device.run;
    let connection = device.process.take().and_then(|process| process.link).and_then(|link| link.connection);
    let mut rng = device.rng.clone();
    device.disk.restart(if is_power { Stop::Power } else { Stop::Process }, &mut |limit| rng.below(limit));
    device.rng = rng;
    world.ledger.process_ended(index, is_power);
    let Some(device) = world.devices.get_mut(index) else { return };
    let pause = if is_power {
        device.tpm.reset(now, device.boots, false);
        device.boot += 1;
        device.asleep_until = 0;
        let pause = device.rng.between(8_000, 40_000);
        // Firmware and kernel have run for a while when the daemon starts.
        device.booted_at = now + pause - device.rng.between(2_000, 5_000);
        pause
    } else {
        device.rng.between(100, 5_000)
    };
    if let Some(connection) = connection {
        broker::disconnect(world, index, connection);
    }
    world.trace(|| {
        format!("device {index}: {}", if is_power { "the power fails" } else { "pawld is killed" })
    });
    world.after(pause, WorldEvent::Start(index, run));
}

/// Where a write has cut the power, the machine is off.
pub fn recover_power(world: &mut World, index: usize) -> bool {
    let is_off = world.devices.get(index).is_some_and(|device| device.disk.is_off());
    if is_off {
        world.seen.saw(Sight::CutInWrite);
        crash(world, index, true);
    }
    is_off
}

/// An orderly stop: the daemon writes what has to outlive it, and says good-bye to the broker.
pub fn stop(world: &mut World, index: usize, is_shutdown: bool) {
    let now = world.now;
    let Some(device) = world.devices.get_mut(index) else { return };
    device.set_clocks(now);
    let Some(process) = &mut device.process else { return };
    world.seen.saw(Sight::Stopped);
    let effects = process.core.stop(process.parts.now());
    for effect in effects {
        if execute::execute(world, index, effect).is_none() {
            return;
        }
    }
    // What the daemon grants its last writes.
    loop {
        let Some(device) = world.devices.get_mut(index) else { return };
        if device.disk_slow.1 > now && device.disk_slow.0 > 4_000 {
            break;
        }
        let Some(process) = &mut device.process else { return };
        if process.writes.is_empty() {
            break;
        }
        let Some(input) = execute::write_first(world, index) else { return };
        let Some(process) = world.devices.get_mut(index).and_then(|device| device.process.as_mut()) else {
            return;
        };
        let effects = process.core.handle(process.parts.now(), input);
        for effect in effects {
            if execute::execute(world, index, effect).is_none() {
                return;
            }
        }
    }
    let Some(device) = world.devices.get_mut(index) else { return };
    device.run += 1;
    let run = device.run;
    if let Some(process) = device.process.take() {
        process.parts.write_records();
        if let Some(connection) = process.link.and_then(|link| link.connection) {
            broker::disconnect(world, index, connection);
        }
    }
    let Some(device) = world.devices.get_mut(index) else { return };
    device.disk.restart(Stop::Process, &mut |_| 0);
    world.ledger.process_ended(index, false);
    let Some(device) = world.devices.get_mut(index) else { return };
    let mut pause = device.rng.between(500, 10_000);
    if is_shutdown {
        device.tpm.reset(now, device.boots, true);
        device.boot += 1;
        pause += device.rng.between(8_000, 30_000);
        device.booted_at = now + pause - 2_000;
    }
    world.trace(|| {
        format!(
            "device {index}: pawld stops in order{}",
            if is_shutdown { ", and the machine restarts" } else { "" }
        )
    });
    world.after(pause, WorldEvent::Start(index, run));
}

/// A caller of the local socket asks for something.
pub fn request(world: &mut World, index: usize, request: pawld::core::Request) {
    let now = world.now;
    // A machine that sleeps serves no caller.
    let device = world.devices.get_mut(index).filter(|device| device.asleep_until <= now);
    let Some(process) = device.and_then(|device| device.process.as_mut()) else { return };
    process.requests += 1;
    let id = RequestId(process.requests);
    execute::feed(world, index, Input::Request(id, request));
}
