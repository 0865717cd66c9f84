//! The fair continuation: no more faults, the daemon works, a technician does what the documentation says, operators and
//! approvers do their part. It must bring every device back after any plan.

use pawl_proto::message::{DeviceState, EventKind};
use pawl_proto::{Epoch, PairingId};
use pawl_verifier::audit::DeviceRecordRow;
use pawl_verifier::pairing::PairingState;

use crate::device::{self, SCOPE, TOKEN};
use crate::faults;
use crate::people;
use crate::plan::PERSONS;
use crate::promises::Promise;
use crate::seen::Sight;
use crate::world::{Ms, World, WorldEvent};

/// How often a technician looks, and how often before this counts as a device that nobody can bring back.
const ROUND: Ms = 30_000;
const ROUNDS: u32 = 160;
/// From which round on a technician runs `pawlctl re-pair` on a device that only lapsed.
const PATIENCE: u32 = 50;
/// For how many rounds an entitled device may be without its token: a request that fails is repeated within two minutes.
const WITHOUT_TOKEN: u32 = 10;

/// Plays the fair continuation, and checks what must be true at its end.
pub fn play(world: &mut World) {
    let awake = world.devices.iter().map(|device| device.asleep_until).max().unwrap_or(0);
    world.run_until(awake);
    if world.violation.is_some() {
        return;
    }
    faults::end_all(world);
    for index in 0..world.devices.len() {
        let Some(device) = world.devices.get_mut(index) else { continue };
        let was_other = std::mem::take(&mut device.boots) != 0;
        if was_other && device.process.is_some() {
            device::stop(world, index, true);
        } else if world.devices.get(index).is_some_and(|device| device.process.is_none()) {
            let run = world.devices.get(index).map_or(0, |device| device.run);
            world.after(60_000, WorldEvent::Start(index, run));
        }
    }
    let mut settled = false;
    let mut without_token = vec![0; world.devices.len()];
    for round in 0..ROUNDS {
        let until = world.now + ROUND;
        world.run_until(until);
        if world.violation.is_some() {
            return;
        }
        check_tokens(world, &mut without_token);
        let waiting: Vec<usize> = (0..world.devices.len()).filter(|index| !is_well(world, *index)).collect();
        for index in &waiting {
            help(world, *index, round);
        }
        if waiting.is_empty() && is_settled(world) {
            settled = true;
            break;
        }
    }
    if world.violation.is_some() {
        return;
    }
    for index in 0..world.devices.len() {
        if !is_well(world, index) {
            let detail = state(world, index);
            return world.broken(Promise::EveryDeviceComesBack, format!("device {index}: {detail}"));
        }
        world.saw(Sight::BroughtBack);
    }
    let alive = world.ledger.orders.iter().find(|(index, epoch)| lives(world, *index, *epoch));
    if let Some((index, epoch)) = alive {
        let detail = format!("device {index}: epoch {epoch} was to end, and lives");
        return world.broken(Promise::NoOrderIsLost, detail);
    }
    if !settled {
        let detail = unsettled(world).unwrap_or_default();
        return world.broken(Promise::OrdersAreSettled, detail);
    }
    check_orders(world);
    check_records(world);
}

fn is_well(world: &World, index: usize) -> bool {
    let Some(device) = world.devices.get(index) else { return true };
    let Some(process) = &device.process else { return false };
    device.set_clocks(world.now);
    process.core.state() == DeviceState::Entitled
        && process.parts.in_use().is_some()
        && lives_at_the_control_plane(world, index)
        && (process.parts.token(TOKEN).is_some() || !is_granted(world, index))
        && !process.core.status().receipt_waiting
}

/// Returns whether the control plane counts the device's pairing as live. If it has ended it, the order may be on its way.
fn lives_at_the_control_plane(world: &World, index: usize) -> bool {
    let process = world.devices.get(index).and_then(|device| device.process.as_ref());
    let Some(acting) = process.and_then(|process| process.parts.in_use()) else { return false };
    let record = acting.record;
    let (device, pairing) = (record.device, record.pairing);
    let live = world.plane.look(move |tx| tx.live_pairing(device));
    live.ok().flatten().is_some_and(|live| live.id == pairing)
}

/// Counts for how many rounds each entitled device has been without its token.
fn check_tokens(world: &mut World, rounds: &mut [u32]) {
    for (index, rounds) in rounds.iter_mut().enumerate() {
        let lacks = lacks_token(world, index);
        *rounds = if lacks { *rounds + 1 } else { 0 };
        if *rounds > WITHOUT_TOKEN {
            let detail = state(world, index);
            world.broken(Promise::TokensComeBack, format!("device {index}: {detail}"));
        }
    }
}

fn lacks_token(world: &World, index: usize) -> bool {
    let Some(device) = world.devices.get(index) else { return false };
    let Some(process) = &device.process else { return false };
    device.set_clocks(world.now);
    process.core.state() == DeviceState::Entitled
        && process.parts.token(TOKEN).is_none()
        && lives_at_the_control_plane(world, index)
        && is_granted(world, index)
}

/// Returns whether the operator grants the scope of the token.
fn is_granted(world: &World, index: usize) -> bool {
    let Some(device) = world.devices.get(index) else { return false };
    let id = device.tpm.device();
    let granted = world.plane.look(move |tx| tx.granted(id));
    granted.is_ok_and(|granted| granted.scopes.iter().any(|scope| scope.as_str() == SCOPE))
}

fn state(world: &World, index: usize) -> String {
    let Some(process) = world.devices.get(index).and_then(|device| device.process.as_ref()) else {
        return "pawld does not run".to_owned();
    };
    let status = process.core.status();
    format!(
        "{}: {:?}; receipt waiting: {}; session: {:?}",
        status.state,
        status.problem.map(|problem| problem.reason),
        status.receipt_waiting,
        process.core.session().map(|session| (session.stage, session.problem.map(|problem| problem.reason))),
    )
}

/// What operators and a technician do about a device that does not work.
fn help(world: &mut World, index: usize, round: u32) {
    people::set_standing(world, index, true);
    if round % 4 == 1 {
        people::settle(world, index);
        people::entitle(world, index, true);
    }
    if round % 4 == 3 {
        people::accept(world, index);
    }
    let Some(process) = world.devices.get(index).and_then(|device| device.process.as_ref()) else { return };
    let state = process.core.state();
    if process.core.status().problem.is_some_and(|problem| problem.error == "deprovisioned") {
        // systemctl restart pawld, as the problem says.
        return device::stop(world, index, false);
    }
    let has_session = process.core.session().is_some_and(|session| session.waiting.is_some());
    if has_session {
        for person in 0..PERSONS {
            people::approve_here(world, index, person);
            let until = world.now + 1_500;
            world.run_until(until);
        }
        return;
    }
    match state {
        DeviceState::Unpaired | DeviceState::Revoked | DeviceState::Pairing if round % 4 == 2 => {
            people::pair(world, index, true);
        }
        DeviceState::Lapsed if round >= PATIENCE && round % 4 == 2 => {
            check_lapse(world, index);
            people::pair(world, index, true);
        }
        _ => {}
    }
}

/// A device that has lapsed for so long must have a reason that a technician is needed for.
fn check_lapse(world: &mut World, index: usize) {
    let Some(device) = world.devices.get(index) else { return };
    let (id, counter) = (device.tpm.device(), device.tpm.epoch());
    let Some(process) = &device.process else { return };
    let Ok(live) = world.plane.look(move |tx| tx.live_pairing(id)) else { return };
    let record = process.parts.store.pairing().ok().flatten();
    let is_alive = live.is_some_and(|live| {
        record.is_some_and(|record| record.pairing == live.id) && counter == Some(live.epoch.0)
    });
    if is_alive && !world.ledger.of(index).disk_touched {
        let detail = state(world, index);
        world.broken(Promise::LapsesEndByThemselves, format!("device {index}: {detail}"));
    }
}

fn is_settled(world: &World) -> bool {
    let is_alive = world.ledger.orders.iter().any(|(index, epoch)| lives(world, *index, *epoch));
    !is_alive && unsettled(world).is_none()
}

/// Returns whether an epoch of a device has not ended.
fn lives(world: &World, index: usize, epoch: u64) -> bool {
    world.devices.get(index).is_some_and(|device| device.tpm.highest() <= epoch)
}

/// Returns what the control plane does not know of yet.
fn unsettled(world: &World) -> Option<String> {
    for (index, device) in world.devices.iter().enumerate() {
        let (id, counter) = (device.tpm.device(), device.tpm.epoch().unwrap_or(0));
        let events = world.plane.look(move |tx| tx.events(id)).ok()?;
        let open = events
            .iter()
            .find(|event| event.kind != EventKind::Refresh && event.epoch < Epoch(counter) && !event.settled);
        if let Some(event) = open {
            return Some(format!("device {index}: the end of epoch {} is not settled", event.epoch));
        }
        for granted in world.ledger.granted.iter().filter(|granted| granted.device == index) {
            let pairing: PairingId = granted.pairing;
            let state = world.plane.look(move |tx| tx.pairing(pairing)).ok()?.map(|pairing| pairing.state);
            if granted.epoch < counter && state != Some(PairingState::Ended) {
                return Some(format!(
                    "device {index}: pairing {pairing} of epoch {} is {state:?}",
                    granted.epoch
                ));
            }
        }
    }
    None
}

fn check_orders(world: &mut World) {
    for (index, epoch) in world.ledger.owed.clone() {
        if world.ledger.of(index).disk_touched {
            continue;
        }
        let Some(device) = world.devices.get(index) else { continue };
        let id = device.tpm.device();
        let Ok(receipts) = world.plane.look(move |tx| tx.receipts(id)) else { continue };
        if !receipts.iter().any(|row| row.receipt.ended == Epoch(epoch)) {
            return world
                .broken(Promise::ReceiptsArrive, format!("device {index}: no receipt of epoch {epoch}"));
        }
    }
}

/// After one more report the control plane has the records up to the present head.
fn check_records(world: &mut World) {
    for index in 0..world.devices.len() {
        if world.ledger.of(index).disk_touched {
            continue;
        }
        let now = world.now;
        let Some(device) = world.devices.get(index) else { continue };
        device.set_clocks(now);
        let id = device.tpm.device();
        let Some(audit) = device.process.as_ref().and_then(|process| process.parts.report_records()) else {
            continue;
        };
        let head = audit.first + u64::try_from(audit.records.len()).unwrap_or(0) - 1;
        people::order(world, index, EventKind::Refresh);
        let mut known = 0;
        for _ in 0..40 {
            let until = world.now + 15_000;
            world.run_until(until);
            known = world
                .plane
                .look(move |tx| tx.device_chain(id))
                .ok()
                .flatten()
                .map_or(0, |chain| chain.sequence);
            if known >= head {
                break;
            }
        }
        if world.violation.is_none() && known < head {
            world.broken(
                Promise::RecordsArrive,
                format!(
                    "device {index}: the control plane has the records up to {known}, the device up to {head}"
                ),
            );
        }
        let Ok(rows) = world.plane.look(move |tx| tx.device_records(id)) else { continue };
        let is_gap = |(before, after): (&DeviceRecordRow, &DeviceRecordRow)| {
            before.chain == after.chain && before.sequence + 1 != after.sequence
        };
        if let Some(gap) = rows.iter().zip(rows.iter().skip(1)).find(|pair| is_gap(*pair)) {
            let (before, after) = (gap.0.sequence, gap.1.sequence);
            world.broken(
                Promise::RecordsArrive,
                format!("device {index}: record {after} came after record {before}"),
            );
        }
    }
}
