//! Persons: a technician at a device, approvers with their SSH keys, and operators of the control plane.

use pawl_control_plane::entitlement::AccessChange;
use pawl_control_plane::incident::{ResolveError, resolve_by_operator};
use pawl_control_plane::orders;
use pawl_control_plane::session;
use pawl_control_plane::store::StoreError;
use pawl_local_api::{PairRequest, SessionStage};
use pawl_proto::message::{
    Access, EventKind, GivenApproval, Scope, ShortText, SshSignature, Standing, StatementBytes,
};
use pawl_proto::{Blob, DeviceId, Text};
use pawl_verifier::boot_digest;
use pawl_verifier::incident::incidents_digest;
use pawld::core::Request;

use crate::device::{self, SCOPE};
use crate::plane;
use crate::seen::Sight;
use crate::world::World;

/// What persons remember.
#[derive(Debug, Default)]
pub struct People {
    /// The approvals that were ever signed: anybody may hand one in again.
    pub signed: Vec<GivenApproval>,
    /// The confirmation that an approver was shown last for each device.
    pub confirmations: Vec<(usize, String)>,
}

/// `pawlctl pair`, or `re-pair` with `again`.
pub fn pair(world: &mut World, index: usize, again: bool) {
    let request = PairRequest { again, reason: ShortText::lossy("a technician"), ..PairRequest::default() };
    device::request(world, index, Request::Pair(request));
}

/// Returns the statement that a waiting session shows at its device.
fn shown(world: &World, index: usize) -> Option<(StatementBytes, String)> {
    let session = world.devices.get(index)?.process.as_ref()?.core.session()?;
    if session.stage != SessionStage::Waiting {
        return None;
    }
    let bytes = hex::decode(session.asked?.statement).ok()?;
    Some((StatementBytes(Blob::new(bytes).ok()?), session.waiting?.user_code))
}

/// A person signs a statement.
fn sign(world: &mut World, person: usize, statement: &StatementBytes) -> Option<GivenApproval> {
    let armored = world.setup.persons.get(person)?.sign(statement.to_be_signed().as_bytes());
    let signature = SshSignature::new(armored.into_bytes()).ok()?;
    let given = GivenApproval { statement: statement.clone(), signature };
    let session = statement.decode().ok()?.session;
    world.ledger.signed.entry(session).or_default().insert(person);
    world.people.signed.push(given.clone());
    Some(given)
}

/// A person approves at the device.
pub fn approve_here(world: &mut World, index: usize, person: usize) {
    let Some((statement, _)) = shown(world, index) else { return };
    let Some(given) = sign(world, person, &statement) else { return };
    world.seen.saw(Sight::ApprovedHere);
    device::request(world, index, Request::Approve(given));
}

/// Somebody submits any approval that was signed before.
pub fn replay(world: &mut World, index: usize, salt: u64) {
    let count = world.people.signed.len();
    if count == 0 || shown(world, index).is_none() {
        return;
    }
    let chosen = usize::try_from(salt % u64::try_from(count).unwrap_or(1)).unwrap_or(0);
    if let Some(given) = world.people.signed.get(chosen).cloned() {
        world.seen.saw(Sight::ApprovalReplayed);
        device::request(world, index, Request::Approve(given));
    }
}

/// A person approves on another machine, by the code that the device shows.
pub fn approve_elsewhere(world: &mut World, index: usize, person: usize, is_right: bool) {
    let Some((_, mut code)) = shown(world, index) else { return };
    if !is_right {
        // The first group finds the session; the rest is wrong.
        let wrong = if code.ends_with('B') { 'C' } else { 'B' };
        code.pop();
        code.push(wrong);
        world.seen.saw(Sight::WrongCode);
    }
    let control = world.plane.control.clone();
    let Ok(found) = plane::now(session::session_of_code(&control, &code)) else { return };
    let Some(given) = sign(world, person, &found.statement) else { return };
    match plane::now(session::approve(&control, &code, given)) {
        Ok(given) => {
            world.seen.saw(Sight::ApprovedElsewhere);
            world.people.confirmations.push((index, given.confirmation.to_string()));
        }
        Err(error) => world.trace(|| format!("an approval from elsewhere does not count: {error}")),
    }
    world.plane_acted();
}

/// The technician types the confirmation that an approver was told.
pub fn confirm(world: &mut World, index: usize, is_right: bool) {
    let mut told = world.people.confirmations.iter().rev();
    let told = told.find(|(of, _)| (*of == index) == is_right).map(|(_, code)| code.clone());
    let Some(code) = told else { return };
    world.seen.saw(if is_right { Sight::Confirmed } else { Sight::WrongConfirmation });
    if let Ok(code) = Text::new(code) {
        device::request(world, index, Request::Confirm(code));
    }
}

/// A technician interrupts `pawlctl pair`.
pub fn give_up(world: &mut World, index: usize) {
    if shown(world, index).is_some() {
        world.seen.saw(Sight::GivenUp);
    }
    device::request(world, index, Request::GiveUp);
}

/// An operator declines what waits.
pub fn decline(world: &mut World, index: usize) {
    let Some((statement, _)) = shown(world, index) else { return };
    let Ok(statement) = statement.decode() else { return };
    let control = world.plane.control.clone();
    if plane::now(session::decline(&control, statement.session, "not today".to_owned())).is_ok() {
        world.seen.saw(Sight::Declined);
    }
}

/// An operator orders something.
pub fn order(world: &mut World, index: usize, kind: EventKind) {
    let Some(device) = world.devices.get(index) else { return };
    let id = device.tpm.device();
    let control = world.plane.control.clone();
    let before = ends_ordered(world, id);
    match plane::now(orders::order(&control, id, kind, ShortText::lossy("an operator"))) {
        Ok(_) => {
            world.trace(|| format!("an operator orders {kind:?} of device {index}"));
            match kind {
                EventKind::Revoke => world.seen.saw(Sight::RevocationOrdered),
                EventKind::Repair => world.seen.saw(Sight::RepairOrdered),
                _ => world.seen.saw(Sight::ReportOrdered),
            }
        }
        Err(error) => world.trace(|| format!("the order is refused: {error}")),
    }
    // A database that fails after it has committed keeps an order, although the operator sees a refusal.
    for (kind, epoch) in ends_ordered(world, id).into_iter().skip(before.len()) {
        world.ledger.orders.push((index, epoch));
        if kind == EventKind::Repair {
            world.ledger.repairs.insert((index, epoch));
        }
    }
    world.plane_acted();
}

/// Returns the ends that operators ordered of a device, oldest first: what, and of which epoch.
fn ends_ordered(world: &World, id: DeviceId) -> Vec<(EventKind, u64)> {
    let events = world.plane.look(move |tx| tx.events(id)).unwrap_or_default();
    let ends = events.iter().filter(|event| {
        event.session.is_none() && matches!(event.kind, EventKind::Revoke | EventKind::Repair)
    });
    ends.map(|event| (event.kind, event.epoch.0)).collect()
}

/// An operator suspends a device, or resumes it.
pub fn set_standing(world: &mut World, index: usize, is_active: bool) {
    let Some(device) = world.devices.get(index) else { return };
    let id = device.tpm.device();
    let control = world.plane.control.clone();
    if is_active {
        let Ok(Some(device)) = world.plane.look(move |tx| tx.device(id)) else { return };
        if device.standing == Standing::Suspended
            && plane::now(orders::resume(&control, id, device.suspensions)).is_ok()
        {
            world.seen.saw(Sight::Resumed);
        }
    } else if plane::now(orders::suspend(&control, id, "an operator".to_owned())).is_ok() {
        world.seen.saw(Sight::Suspended);
    }
    world.plane_acted();
}

/// An operator takes the scope from a device, or grants it.
pub fn entitle(world: &mut World, index: usize, is_granted: bool) {
    let Some(device) = world.devices.get(index) else { return };
    let id = device.tpm.device();
    let control = world.plane.control.clone();
    let access = Access { scopes: vec![Scope::lossy(SCOPE)], audiences: Vec::new() };
    let mut change = AccessChange::default();
    if is_granted {
        change.add = access
    } else {
        change.remove = access
    }
    if plane::now(orders::entitle(&control, id, change)).is_ok() {
        world.seen.saw(if is_granted { Sight::Widened } else { Sight::Narrowed });
    }
    world.plane_acted();
}

/// An operator accepts what a device reported last.
pub fn accept(world: &mut World, index: usize) {
    let Some(device) = world.devices.get(index) else { return };
    let id = device.tpm.device();
    let Ok(Some(state)) = world.plane.look(move |tx| tx.reported_state(id)) else { return };
    let control = world.plane.control.clone();
    match plane::now(orders::accept(&control, id, boot_digest(&state))) {
        Ok(_) => world.seen.saw(Sight::StateAccepted),
        Err(error) => world.trace(|| format!("the boot state is not accepted: {error}")),
    }
    world.plane_acted();
}

/// An operator has dealt with the open incidents of a device.
pub fn settle(world: &mut World, index: usize) {
    let Some(device) = world.devices.get(index) else { return };
    let (id, now) = (device.tpm.device(), world.plane.unix());
    let settled = world.plane.look(move |tx| {
        let Some(seen) = incidents_digest(&tx.open_incidents(id)?) else { return Ok(false) };
        // Where something else was seen meanwhile, the operator looks again another time.
        match resolve_by_operator(tx, id, seen, "looked at".to_owned(), now) {
            Err(ResolveError::Store(error)) => Err(error),
            resolved => Ok::<_, StoreError>(resolved.is_ok()),
        }
    });
    match settled {
        Ok(true) => world.seen.saw(Sight::IncidentsSettled),
        Ok(false) => {}
        Err(error) => world.trace(|| format!("the incidents are not settled: {error}")),
    }
    world.plane_acted();
}
