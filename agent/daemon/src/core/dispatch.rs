//! Hands each input to the part of the machine that awaits it, and its outcome to the parts that it concerns.

use std::sync::Arc;

use pawl_local_api::PairRequest;

use super::common::Ticket;
use super::effect::{Effect, Write};
use super::found::Found;
use super::idle::Idle;
use super::input::{CallAnswer, CallFailure, Input, LinkInput, TpmAnswer, TpmFailure};
use super::machine::{Machine, Phase};
use super::paired::{self, Paired};
use super::procedure::Outcome;
use super::revocation::Revoking;
use super::start::{self, Start};
use super::{callers, orders, succession};
use crate::problem;
use crate::record::Revocation;

/// Handles an input.
pub(super) fn input(machine: &mut Machine, input: Input) {
    match input {
        Input::Timer => {}
        Input::Found(ticket, facts) => found(machine, ticket, *facts),
        Input::NotFound(ticket, failure) => machine.examination.not_found(&machine.cx, ticket, &failure),
        Input::Link(event) => link(machine, event),
        Input::Tpm(ticket, answer) => tpm(machine, ticket, answer),
        Input::Written(ticket, outcome) => written(machine, ticket, &outcome),
        Input::Called(ticket, answer) => called(machine, ticket, answer),
        Input::Gathered(ticket, outcome) => drop(resume(machine, ticket, Outcome::Gathered(outcome))),
        Input::VaultOpened(tokens) => {
            if let Phase::Paired(paired) = &mut machine.phase {
                paired.vault_opened(&machine.cx, tokens);
            }
        }
        Input::Request(id, request) => callers::request(machine, id, request),
    }
}

/// Does what is due.
pub(super) fn run_due(machine: &mut Machine) {
    machine.examination.run_due(&mut machine.cx);
    match &mut machine.phase {
        Phase::Idle(_) if machine.callers.is_deprovisioning() => {}
        Phase::Idle(idle) => {
            if let Some(request) = idle.take_due(machine.cx.now.boot) {
                machine.sessions.begin_unattended(&mut machine.cx, request);
                machine.show_session();
            }
        }
        Phase::Creating(..) => {}
        Phase::Paired(paired) => paired.run_due(&mut machine.cx),
        Phase::Revoking(revoking) => {
            let outcome = revoking.run_due(&mut machine.cx);
            callers::follow_revoking(machine, outcome);
        }
    }
    if let Some(failure) = machine.sessions.run(&mut machine.cx) {
        succession::session_failed(machine, failure);
    }
    if let Phase::Creating(creating, _) = &mut machine.phase
        && let Some(outcome) = creating.procedure.run(&mut machine.cx)
    {
        succession::created(machine, outcome);
    }
    machine.receipts.run_due(&mut machine.cx);
    // A receipt that an approved pairing waited for may be on the disk now.
    succession::create(machine);
}

/// Handles what was found on the disk and in the TPM.
fn found(machine: &mut Machine, ticket: Ticket, found: Found) {
    if let Some(found) = machine.examination.found(&mut machine.cx, ticket, found) {
        enter(machine, found);
    }
}

/// Enters the phase that follows from disk and counter.
fn enter(machine: &mut Machine, found: Found) {
    machine.sessions.learn_past(&found);
    machine.leave();
    let start = start::decide(&found, machine.cx.now.unix);
    if !machine.sessions.asks() {
        match start::approval(&found) {
            Some((approved, statement)) => {
                tracing::warn!("resuming the approved pairing");
                let ends_epoch = found.may_have_keys();
                machine.sessions.resume_approved(Box::new(approved.clone()), &statement, ends_epoch);
            }
            None if found.approved().is_some() => {
                tracing::warn!("dropping a kept approval: it is over, or another TPM's");
                machine.cx.write(Write::DiscardUnfinished);
            }
            None => {}
        }
    }
    let Found { verdict, lease, receipts, .. } = found;
    match start {
        Start::Unpaired(problem) => {
            let mut idle = Idle::unpaired(problem);
            if machine.cx.settings.pairs_by_itself && idle.problem().error == "unpaired" {
                idle.retry_at(machine.cx.now.boot, PairRequest::default());
            }
            machine.become_idle(idle);
        }
        Start::Unusable(record, problem) => machine.become_idle(Idle::unusable(record, problem)),
        Start::Paired(record) => {
            let paired = Paired::start(&mut machine.cx, record, verdict, lease);
            machine.phase = Phase::Paired(Box::new(paired));
        }
        Start::Wipe(record, order) => machine.revoke(Arc::new(record), order, None, None),
        Start::Finish(record, revocation) => {
            let (cx, receipts) = (&mut machine.cx, &mut machine.receipts);
            let revoking = Revoking::finish(cx, receipts, Arc::new(record), revocation);
            machine.phase = Phase::Revoking(Box::new(revoking));
        }
        Start::Revoked(record, revocation) => {
            machine.cx.write(Write::DestroyKeys);
            machine.become_idle(Idle::revoked(record, revocation, machine.cx.now.boot));
        }
    }
    machine.receipts.found(&machine.cx, receipts);
    succession::create(machine);
}

/// Handles an event of the link to the broker.
fn link(machine: &mut Machine, input: LinkInput) {
    match &mut machine.phase {
        Phase::Paired(paired) => {
            let outcome = paired.link(&mut machine.cx, &mut machine.refused, input);
            follow_paired(machine, outcome);
        }
        Phase::Revoking(revoking) => {
            let outcome = revoking.link(&mut machine.cx, &input);
            callers::follow_revoking(machine, outcome);
        }
        Phase::Idle(_) | Phase::Creating(..) => {}
    }
}

/// Handles the result of a TPM command.
fn tpm(machine: &mut Machine, ticket: Ticket, answer: Result<TpmAnswer, TpmFailure>) {
    let Some(Outcome::Tpm(answer)) = resume(machine, ticket, Outcome::Tpm(answer)) else { return };
    if let Some(caller) = machine.callers.take(ticket) {
        return callers::command_over(machine, caller, answer);
    }
    let receipt = machine.receipts.tpm(&mut machine.cx, ticket, &answer);
    let is_about_receipt = receipt.is_some();
    match &mut machine.phase {
        Phase::Paired(paired) => {
            let outcome = paired.tpm(&mut machine.cx, ticket, answer);
            follow_paired(machine, outcome);
        }
        Phase::Revoking(revoking) => {
            let outcome = match receipt {
                Some((ended, made)) => revoking.receipt(&mut machine.cx, ended, made),
                None => revoking.tpm(&mut machine.cx, &mut machine.receipts, ticket, &answer),
            };
            callers::follow_revoking(machine, outcome);
        }
        Phase::Idle(_) | Phase::Creating(..) => {}
    }
    // The link of a pairing carries its own receipt only, while the pairing ends. It carries none that the TPM made later.
    if is_about_receipt && !matches!(machine.phase, Phase::Revoking(_)) {
        machine.receipts.deliver(&machine.cx);
    }
}

/// Handles the result of a call to the control plane.
fn called(machine: &mut Machine, ticket: Ticket, answer: Result<CallAnswer, CallFailure>) {
    let Some(Outcome::Called(answer)) = resume(machine, ticket, Outcome::Called(answer)) else { return };
    machine.receipts.taken(&mut machine.cx, ticket, &answer);
    // Written before the receipt is removed: without the receipt the control plane is not asked again.
    if let Ok(CallAnswer::ReceiptTaken(Some(event))) = &answer {
        learn_order(machine, event);
    }
    machine.receipts.called(&mut machine.cx, ticket, &answer);
    if let Phase::Paired(paired) = &mut machine.phase {
        paired.called(&mut machine.cx, ticket, answer);
    }
}

/// Takes the event that ended the last epoch, if this device does not know what did: its process was killed between
/// the increment and the write of the cause.
fn learn_order(machine: &mut Machine, message: &[u8]) {
    let Phase::Idle(idle) = &machine.phase else { return };
    let (Some(record), Some(revocation)) = (idle.record(), idle.unexplained()) else { return };
    match orders::verify_ending(record, message) {
        Ok((cause, event)) => {
            let revocation =
                Revocation { cause, event: Some(event.id), reason: event.reason, ..revocation.clone() };
            tracing::warn!(event = %event.id, ?cause, "the control plane tells which order ended the epoch");
            let idle = Idle::revoked(record.clone(), revocation.clone(), machine.cx.now.boot);
            machine.cx.write(Write::Revocation(revocation));
            machine.become_idle(idle);
        }
        Err(refusal) => machine.refused.count(&mut machine.cx, refusal),
    }
}

/// Handles the result of a write.
fn written(machine: &mut Machine, ticket: Ticket, outcome: &Result<(), String>) {
    if let Err(error) = outcome {
        tracing::error!(error, "a write failed");
    }
    resume(machine, ticket, Outcome::Written(outcome.clone()));
    if let Some(found) = machine.examination.written(&mut machine.cx, ticket, outcome) {
        enter(machine, *found);
    }
    machine.receipts.written(&mut machine.cx, ticket, outcome);
    match machine.sessions.written(ticket, outcome) {
        Some(Ok(())) => succession::approved(machine),
        Some(Err(failure)) => succession::session_failed(machine, *failure),
        None => {}
    }
    match &mut machine.phase {
        Phase::Paired(paired) => paired.written(&mut machine.cx, ticket, outcome),
        Phase::Revoking(revoking) => {
            let outcome = revoking.written(ticket);
            callers::follow_revoking(machine, outcome);
        }
        Phase::Idle(_) | Phase::Creating(..) => {}
    }
}

/// Hands a result to the procedure that awaits it. Returns one that none awaits.
fn resume(machine: &mut Machine, ticket: Ticket, outcome: Outcome) -> Option<Outcome> {
    let rest = machine.sessions.resume(ticket, outcome);
    match &mut machine.phase {
        Phase::Creating(creating, _) => creating.procedure.resume(ticket, rest),
        Phase::Paired(paired) => paired.resume(ticket, rest),
        Phase::Idle(_) | Phase::Revoking(_) => rest,
    }
}

/// Does what a live pairing asks of the machine.
fn follow_paired(machine: &mut Machine, outcome: paired::Outcome) {
    match outcome {
        paired::Outcome::Stay => {}
        paired::Outcome::Wipe(order, message) => {
            let Phase::Paired(paired) = &machine.phase else { return };
            let record = Arc::clone(paired.record());
            machine.revoke(record, order, message, None);
            // The order may be what became of an approval.
            machine.sessions.poll();
        }
        paired::Outcome::Examine => {
            tracing::warn!("the epoch counter does not fit the pairing");
            machine.cx.close_gate(problem::other_tpm());
            machine.cx.push(Effect::TellHolders);
            machine.examination.begin(&mut machine.cx);
        }
        paired::Outcome::MovedDisk => machine.moved_disk(),
    }
}
