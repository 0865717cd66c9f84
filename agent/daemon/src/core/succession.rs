//! From one pairing to the next: an approval ends the old pairing, and after that the core creates the new one. Also the status
//! after a failed session.

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

/// Handles an approval that is on the disk: ends the old pairing before it creates the new one.
pub(super) fn approved(machine: &mut Machine) {
    let Some(granted) = machine.sessions.granted() else { return };
    let (order, name) = (session::order(&granted.approved), granted.approved.attestation_name.clone());
    match &machine.phase {
        Phase::Paired(paired) if paired.record().attestation_name == name => {
            let record = Arc::clone(paired.record());
            machine.revoke(record, order, None, None);
        }
        // The disk belongs to another TPM, whose epoch has the same number. There is no pairing of this TPM to end.
        Phase::Paired(_) => machine.moved_disk(),
        Phase::Idle(idle) => {
            let unusable = idle.unusable_pairing().filter(|record| record.attestation_name == name);
            if let Some(record) = unusable.cloned() {
                machine.revoke(record, order, None, None);
            }
        }
        // The old pairing is ending or has ended already.
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

/// Handles the end of a creation. After a success, an examination finds the new pairing on the disk and starts it.
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

/// Handles a failed session. A live pairing continues. Without one, shows the problem, and schedules the next unattended session,
/// unless the policy requires a person. A session that the operator ordered is scheduled, too.
pub(super) fn session_failed(machine: &mut Machine, failure: Failure) {
    let Failure { view, problem, unattended, wants_person } = failure;
    session::fail(&mut machine.cx, &view, problem.clone());
    without_session(machine, problem, unattended, wants_person);
}

/// Without a live pairing: shows why the session ended, and schedules the next unattended session.
pub(super) fn without_session(
    machine: &mut Machine,
    problem: Problem,
    unattended: Option<PairRequest>,
    wants_person: bool,
) {
    let Phase::Idle(idle) = &mut machine.phase else { return };
    let problem = idle.explain(problem, wants_person);
    machine.cx.close_gate(problem.clone());
    // The operator's order stays in force after a caller's session has failed.
    let (is_attended, ordered) = (unattended.is_none(), idle.ordered());
    let is_after_repair = is_attended && idle.cause() == Some(Cause::Repair);
    idle.failed(problem, is_after_repair && ordered.is_none() || wants_person && !is_attended);
    let request = if is_attended { ordered } else { unattended.filter(|_| !wants_person) };
    if let Some(request) = request {
        idle.retry_at(machine.sessions.next_try(&mut machine.cx), request);
    }
}
