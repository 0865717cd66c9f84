//! From one pairing to the next: an approved session ends the old pairing, and the new one is created once that has ended.
//! And what the device shows when nothing comes of a session.

use std::sync::Arc;

use pawl_local_api::{PairRequest, Problem};
use pawl_proto::Text;
use pawl_proto::message::Cause;

use super::effect::Write;
use super::idle::Idle;
use super::machine::{Machine, Phase};
use super::orders::Ending;
use super::pairing::PairingError;
use super::revocation::Revoking;
use super::session::{self, Failure};
use crate::problem;

/// Handles an approval that the disk has: it ends the old pairing before anything new is made.
pub(super) fn approved(machine: &mut Machine) {
    let Some(granted) = machine.sessions.granted() else { return };
    let (order, name) = (session::order(&granted.approved), granted.approved.attestation_name.clone());
    match &machine.phase {
        Phase::Paired(paired) if paired.record().attestation_name == name => {
            let record = Arc::clone(paired.record());
            machine.revoke(record, order, None, None);
        }
        // Another TPM's disk, whose epoch has the number of ours: nothing of it lives here.
        Phase::Paired(_) => machine.moved_disk(),
        Phase::Idle(idle) => {
            let unusable = idle.unusable_pairing().filter(|record| record.attestation_name == name);
            if let Some(record) = unusable.cloned() {
                machine.revoke(record, order, None, None);
            }
        }
        // An order has ended it already.
        Phase::Revoking(_) | Phase::Creating(..) => {}
    }
    create(machine);
}

/// Creates the approved pairing, if there is one, the old one has ended, and its receipt is on the disk.
pub(super) fn create(machine: &mut Machine) {
    let Phase::Idle(idle) = &machine.phase else { return };
    if machine.sessions.granted().is_none() || machine.receipts.delay_pairing(&machine.cx) {
        return;
    }
    let idle = idle.clone();
    if let Some(creating) = machine.sessions.create(&mut machine.cx) {
        machine.examination.abandon();
        machine.phase = Phase::Creating(Box::new(creating), idle);
    }
}

/// Handles the end of a creation. A pairing that is on the disk is taken into use from there.
pub(super) fn created(machine: &mut Machine, outcome: Result<(), PairingError>) {
    match (outcome, &machine.phase) {
        (Err(error), _) => not_created(machine, &error),
        (Ok(()), Phase::Creating(creating, _)) => {
            machine.sessions.created(creating);
            machine.examination.begin(&mut machine.cx);
        }
        (Ok(()), _) => {}
    }
}

fn not_created(machine: &mut Machine, error: &PairingError) {
    let idle = Box::new(Idle::unpaired(problem::unpaired()));
    let Phase::Creating(creating, mut idle) = std::mem::replace(&mut machine.phase, Phase::Idle(idle)) else {
        return;
    };
    let problem = error.problem(creating.unattended.is_none());
    idle.failed(problem.clone(), false);
    if let Some(request) = creating.unattended.clone() {
        let time = machine.sessions.next_try(&mut machine.cx);
        idle.retry_at(time, request);
    }
    match creating.granted() {
        None => machine.become_idle(*idle),
        Some(record) => {
            let reason = format!("the device could not store the pairing: {}", problem.reason);
            let order = Ending { cause: Cause::Recovery, event: None, reason: Text::lossy(&reason) };
            let revoking = Revoking::begin(&mut machine.cx, record, order, false, None, None);
            machine.phase = Phase::Revoking(Box::new(revoking.then(*idle)));
        }
    }
    machine.cx.write(Write::DiscardUnfinished);
    session::fail(&mut machine.cx, &creating.view, problem);
}

/// Handles a session of which nothing came. A live pairing goes on; where there is none, the reason is shown, and an
/// unattended session is opened again, unless a person is all that is missing. So is one that the operator ordered.
pub(super) fn session_failed(machine: &mut Machine, failure: Failure) {
    let Failure { view, problem, unattended, wants_person } = failure;
    session::fail(&mut machine.cx, &view, problem.clone());
    without_session(machine, problem, unattended, wants_person);
}

/// Shows without a live pairing why no session is open any more.
pub(super) fn without_session(
    machine: &mut Machine,
    problem: Problem,
    unattended: Option<PairRequest>,
    wants_person: bool,
) {
    let Phase::Idle(idle) = &mut machine.phase else { return };
    let problem = idle.explain(problem, wants_person);
    machine.cx.close_gate(problem.clone());
    // What the operator ordered stays ordered, although the session of a caller came to nothing.
    let (is_attended, ordered) = (unattended.is_none(), idle.ordered());
    let is_after_repair = is_attended && idle.cause() == Some(Cause::Repair);
    idle.failed(problem, is_after_repair && ordered.is_none() || wants_person && !is_attended);
    let request = if is_attended { ordered } else { unattended.filter(|_| !wants_person) };
    if let Some(request) = request {
        idle.retry_at(machine.sessions.next_try(&mut machine.cx), request);
    }
}
