//! Begins the faults of a plan.

use std::io::ErrorKind;
use std::path::Path;

use pawl_proto::{Channel, Topic};

use crate::broker;
use crate::device::{self, ROOT};
use crate::plan::Action;
use crate::plane::BEGIN;
use crate::seen::Sight;
use crate::tpm::Trouble;
use crate::world::{Ms, World, WorldEvent};

/// Begins a fault at a device, at the broker or at the control plane.
pub fn begin(world: &mut World, index: usize, action: Action, salt: u64) {
    let now = world.now;
    let plane = world.devices.len();
    // Half of what the broker does to sessions, it does to the control plane's.
    let client = if salt.is_multiple_of(4) { plane } else { index };
    match action {
        Action::CutInWrite { operations } => {
            if let Some(device) = world.devices.get(index).filter(|device| device.process.is_some()) {
                device.disk.cut_power_in(u64::from(operations));
            }
        }
        Action::Sleep { ms } => sleep(world, index, ms),
        Action::ClockJump { ms } => {
            set_wall(world, index, ms);
            world.saw(Sight::ClockJumped);
        }
        Action::ClockTo1970 => {
            let begun = i64::try_from(BEGIN + now).unwrap_or(0);
            set_wall(world, index, -begun + 60_000);
            world.saw(Sight::At1970);
            // A time server is reached later, or never.
            if !salt.is_multiple_of(3) {
                world.after(salt % 900_000, WorldEvent::TimeIsSet(index));
            }
        }
        Action::BootOther | Action::BootApproved => {
            let is_other = action == Action::BootOther;
            let Some(device) = world.devices.get_mut(index) else { return };
            let booted = std::mem::replace(&mut device.boots, u8::from(is_other));
            if is_other {
                world.saw(Sight::BootedOther);
            } else if booted != 0 {
                world.saw(Sight::BootedApproved);
            }
            device::stop(world, index, true);
        }
        Action::TpmTrouble { code, commands, hits } => {
            if let Some(device) = world.devices.get_mut(index) {
                device.tpm.trouble = Some(Trouble { code, left: commands, hits, has_passed: false });
            }
        }
        Action::TpmSlow { ms, for_ms } => {
            if let Some(device) = world.devices.get_mut(index) {
                device.tpm_slow = (ms, now + for_ms);
            }
        }
        Action::RootIncrements => {
            let Some(device) = world.devices.get_mut(index) else { return };
            let before = device.tpm.epoch();
            if device.tpm.increment_by_root() {
                world.saw(Sight::RootIncremented);
                world.ledger.root_moved(index, before);
            }
        }
        Action::DiskFull { for_ms } => disk_fault(world, index, for_ms, true),
        Action::DiskFails { for_ms } => disk_fault(world, index, for_ms, false),
        Action::DiskSlow { ms, for_ms } => {
            if let Some(device) = world.devices.get_mut(index) {
                device.disk_slow = (ms, now + for_ms);
            }
        }
        Action::CopyDisk => {
            if let Some(device) = world.devices.get_mut(index) {
                device.copy = Some(device.disk.snapshot());
            }
        }
        Action::PutBackDisk | Action::SwapDisks | Action::NewDisk => {
            exchange_disk(world, index, action, salt)
        }
        Action::DamageFile => damage(world, index, salt),
        Action::Https { fault, calls } => world.https = Some((fault, calls)),
        Action::PlaneRestarts => {
            world.saw(Sight::PlaneRestarted);
            world.plane.restart();
            broker::cut(world, plane);
        }
        Action::PlaneFails { after_commit, transactions } => {
            world.saw(if after_commit { Sight::PlaneFailedLate } else { Sight::PlaneFailed });
            world.plane.fail(transactions, after_commit);
        }
        Action::PlaneClockJump { ms } => {
            world.saw(Sight::PlaneClockJumped);
            // Up to 40 s. Devices would take a time further ahead from a verdict, and no later verdict lowers it.
            world.plane.set_offset(ms / 1000);
        }
        other => broker_fault(world, index, client, other, salt),
    }
}

fn broker_fault(world: &mut World, index: usize, client: usize, action: Action, salt: u64) {
    let now = world.now;
    let weather = &mut world.broker.weather;
    match action {
        Action::BrokerDown { for_ms } => {
            weather.down = now + for_ms;
            world.saw(Sight::BrokerDown);
            world.cut_all();
        }
        Action::Withhold { for_ms } => {
            weather.withhold.insert(client, now + for_ms);
        }
        Action::Drop { for_ms } => weather.drop = now + for_ms,
        Action::Duplicate { for_ms } => weather.duplicate = now + for_ms,
        Action::Reorder { for_ms } => weather.reorder = now + for_ms,
        Action::ForgetSession => broker::forget(world, client),
        Action::TakeOver => broker::take_over(world, index),
        Action::NoPuback { for_ms } => weather.no_puback = now + for_ms,
        Action::NoSubscriber { for_ms } => weather.no_subscriber = now + for_ms,
        Action::RefuseSuback { for_ms } => {
            weather.refuse_suback.insert(client, now + for_ms);
            // An access list is read when clients connect.
            broker::cut(world, client);
        }
        Action::ReplayOrders => replay(world, index, salt),
        Action::Flood => flood(world, index, salt),
        Action::SendGarbage => send_garbage(world, index, salt),
        _ => {}
    }
}

fn sleep(world: &mut World, index: usize, ms: Ms) {
    let now = world.now;
    if let Some(device) = world.devices.get_mut(index).filter(|device| device.process.is_some()) {
        device.asleep_until = now + ms;
        // A sleeping device stops no holder of the entitlement: that deadline moves by the time of its sleep.
        world.ledger.with(index, |facts| facts.notify_by = facts.notify_by.map(|by| by + ms));
        world.saw(Sight::Slept);
        // The broker notices by and by.
        broker::cut(world, index);
    }
}

fn set_wall(world: &mut World, index: usize, offset: i64) {
    if let Some(device) = world.devices.get_mut(index) {
        device.wall_offset = offset;
    }
}

fn disk_fault(world: &mut World, index: usize, for_ms: Ms, is_full: bool) {
    let until = world.now + for_ms;
    if let Some(device) = world.devices.get_mut(index) {
        if is_full {
            device.disk.fill();
        } else {
            device.disk.break_down(ErrorKind::Other);
        }
        world.ledger.disk_trouble_until(index, until);
        world.saw(if is_full { Sight::DiskFull } else { Sight::DiskFailed });
        world.after(for_ms, WorldEvent::DiskRepaired(index));
    }
}

/// Somebody takes a disk out, and puts another one in.
fn exchange_disk(world: &mut World, index: usize, action: Action, salt: u64) {
    let other = (index + 1) % world.devices.len();
    for machine in [index, other] {
        let is_meant = machine == index || action == Action::SwapDisks;
        if is_meant && world.devices.get(machine).is_some_and(|device| device.process.is_some()) {
            device::crash(world, machine, true);
        }
    }
    match action {
        Action::PutBackDisk => {
            // Half of the time it is the other device's copy.
            let from = if salt.is_multiple_of(2) { index } else { other };
            let Some(copy) = world.devices.get(from).and_then(|device| device.copy.clone()) else { return };
            if let Some(device) = world.devices.get_mut(index) {
                device.disk.restore(&copy);
            }
            world.ledger.disk_touched(index);
            world.saw(Sight::DiskPutBack);
        }
        Action::SwapDisks => {
            world.saw(Sight::DisksSwapped);
            if let Ok([first, second]) = world.devices.get_disjoint_mut([index, other]) {
                std::mem::swap(&mut first.disk, &mut second.disk);
            }
            world.ledger.disk_touched(index);
            world.ledger.disk_touched(other);
        }
        _ => {
            world.saw(Sight::DiskNew);
            if let Some(device) = world.devices.get_mut(index) {
                device.disk = device::new_disk();
            }
            world.ledger.disk_touched(index);
        }
    }
}

/// A file rots, or somebody writes to it. Half of the time the power fails next, so that the daemon reads it.
fn damage(world: &mut World, index: usize, salt: u64) {
    const VERDICT: &str = "pairing/verdict.cose";
    const LEASE: &str = "pairing/lease.cose";
    /// With another one of these damaged a device can need a technician.
    const REPLACED: [&str; 4] = [VERDICT, LEASE, "pairing/vault.bin", "time.cbor"];
    const OTHERS: [&str; 4] =
        ["pairing/pairing.cbor", "pairing/device.key", "pairing/link.key", "revocation.cbor"];
    let chosen = REPLACED.iter().chain(&OTHERS).nth(usize::try_from(salt % 8).unwrap_or(0));
    let chosen = chosen.copied().unwrap_or(VERDICT);
    let Some(device) = world.devices.get(index) else { return };
    let contents = |name: &str| device.disk.read(&Path::new(ROOT).join(name));
    let Some(before) = contents(chosen) else { return };
    // A verdict with a lease is one file with two names.
    let twin = [VERDICT, LEASE].into_iter().find(|twin| {
        [VERDICT, LEASE].contains(&chosen) && *twin != chosen && contents(twin).as_ref() == Some(&before)
    });
    for name in [Some(chosen), twin].into_iter().flatten() {
        if device.disk.write(&Path::new(ROOT).join(name), b"rotten").is_err() {
            return;
        }
    }
    world.ledger.file_damaged(index, !REPLACED.contains(&chosen));
    world.saw(Sight::DiskDamaged);
    if (salt / 8).is_multiple_of(2) && world.devices.get(index).is_some_and(|device| device.process.is_some())
    {
        device::crash(world, index, true);
    }
}

/// Somebody who read along sends orders again, to their device or to another.
fn replay(world: &mut World, index: usize, salt: u64) {
    let count = world.broker.captured.len();
    if count == 0 {
        return;
    }
    world.saw(Sight::OrdersReplayed);
    for number in 0..4_u64 {
        let chosen = usize::try_from(salt.wrapping_add(number * 7919) % u64::try_from(count).unwrap_or(1));
        let Some((topic, payload)) =
            chosen.ok().and_then(|chosen| world.broker.captured.get(chosen)).cloned()
        else {
            continue;
        };
        broker::inject(world, index, topic, payload);
    }
}

/// The broker sends a device bytes that are not an order.
fn flood(world: &mut World, index: usize, salt: u64) {
    world.saw(Sight::Flooded);
    let Some(device) = world.devices.get(index) else { return };
    let id = device.tpm.device();
    for number in 0..60 {
        let channel = if number % 2 == 0 { Channel::Verdict } else { Channel::Event };
        let length = usize::try_from(salt.wrapping_mul(number + 1) % 200).unwrap_or(0);
        broker::inject(world, index, Topic::new(id, channel).to_string(), vec![0xa1; length]);
    }
}

/// A device sends the control plane bytes that are not a report.
fn send_garbage(world: &mut World, index: usize, salt: u64) {
    world.saw(Sight::GarbageSent);
    let plane = world.devices.len();
    let Some(device) = world.devices.get(index) else { return };
    let id = device.tpm.device();
    for number in 0..30 {
        let channel = match number % 3 {
            0 => Channel::Posture,
            1 => Channel::Receipt,
            _ => Channel::Status,
        };
        let length = usize::try_from(salt.wrapping_mul(number + 3) % 300).unwrap_or(0);
        broker::inject(world, plane, Topic::new(id, channel).to_string(), vec![0x81; length]);
    }
}

/// Ends every fault: from here on the world is fair.
pub fn end_all(world: &mut World) {
    world.https = None;
    world.broker.weather = broker::Weather::default();
    world.plane.fail(0, false);
    world.plane.set_offset(0);
    for device in &mut world.devices {
        device.tpm.trouble = None;
        (device.tpm_slow, device.disk_slow) = ((0, 0), (0, 0));
        device.wall_offset = 0;
        device.crash = None;
        device.disk.repair();
    }
}
