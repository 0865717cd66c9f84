//! Requests of the local API: what each does, and when its caller gets the answer.

use std::sync::Arc;

use pawl_local_api::{Deprovisioned, PairRequest, Problem, SessionStage, Wiped};
use pawl_proto::Text;
use pawl_proto::message::{Cause, ShortText};

use super::common::RequestId;
use super::effect::{Reply, TpmCommand, Write};
use super::idle::Idle;
use super::input::{Request, TpmAnswer, TpmFailure};
use super::machine::{Machine, Phase};
use super::orders::Ending;
use super::pairing::view::Step;
use super::revocation::{self, Caller};
use super::{session, succession};
use crate::problem::{self, problem};

/// Handles a request of the local API.
pub(super) fn request(machine: &mut Machine, id: RequestId, request: Request) {
    match request {
        Request::Pair(request) => {
            let reply = match pair(machine, request) {
                Ok(()) => Reply::Done,
                Err(problem) => Reply::Refused(problem),
            };
            machine.cx.reply(Some(id), reply);
        }
        Request::Approve(approval) => submit(machine, id, Step::Approval(approval)),
        Request::Confirm(code) => submit(machine, id, Step::Confirmation(code)),
        Request::GiveUp => {
            let is_approved =
                machine.sessions.granted().is_some() || matches!(machine.phase, Phase::Creating(..));
            let reply = if machine.sessions.give_up(&mut machine.cx) {
                succession::without_session(machine, problem::given_up(), None, false);
                Reply::Done
            } else {
                Reply::Refused(if is_approved { problem::approved() } else { problem::no_session() })
            };
            machine.cx.reply(Some(id), reply);
        }
        Request::Wipe(reason) => wipe(machine, Caller::Wipe(id), reason),
        Request::Deprovision => {
            let lives = matches!(machine.phase, Phase::Paired(_) | Phase::Creating(..) | Phase::Revoking(_));
            if lives || machine.sessions.asks() {
                wipe(machine, Caller::Deprovision(id), Text::lossy("deprovisioned"));
            } else {
                deprovision(machine, id);
            }
        }
    }
}

fn submit(machine: &mut Machine, id: RequestId, step: Step) {
    if !machine.sessions.submit(&mut machine.cx, id, step) {
        machine.cx.reply(Some(id), Reply::Refused(problem::no_session()));
    }
}

fn pair(machine: &mut Machine, request: PairRequest) -> Result<(), Problem> {
    match machine.phase {
        _ if machine.callers.is_deprovisioned() => Err(problem::deprovisioned()),
        _ if machine.callers.is_deprovisioning() => Err(problem::busy()),
        Phase::Creating(..) => Err(problem::pairing()),
        _ if machine.sessions.granted().is_some() => Err(problem::pairing()),
        Phase::Paired(_) if !request.again => Err(problem::already_paired()),
        Phase::Paired(_) | Phase::Idle(_) | Phase::Revoking(_) => {
            machine.sessions.begin(&mut machine.cx, request, true);
            machine.show_session();
            Ok(())
        }
    }
}

/// Ends the pairing, or the request for one, for a caller on the device.
fn wipe(machine: &mut Machine, caller: Caller, reason: ShortText) {
    if let Phase::Paired(paired) = &machine.phase {
        // Close the gate and increment the counter before ending a session.
        let record = Arc::clone(paired.record());
        let order = Ending { cause: Cause::Wipe, event: None, reason };
        machine.revoke(record, order, None, Some(caller));
        machine.sessions.drop_all(&mut machine.cx);
        return;
    }
    let asked = machine.sessions.drop_all(&mut machine.cx);
    let is_committing = machine.examination.is_committing();
    match &mut machine.phase {
        Phase::Revoking(revoking) => {
            let outcome = revoking.ask(&mut machine.cx, caller);
            follow_revoking(machine, outcome);
        }
        Phase::Creating(creating, _) => {
            let (view, granted) = (creating.view.clone(), creating.granted());
            match granted {
                // The control plane counts the pairing as live until it has the receipt.
                Some(record) => {
                    let order = Ending { cause: Cause::Wipe, event: None, reason };
                    machine.revoke(record, order, None, Some(caller));
                }
                None => {
                    machine.become_idle(Idle::unpaired(problem::unpaired()));
                    command(machine, TpmCommand::EndEpoch, caller);
                }
            }
            machine.cx.write(Write::DiscardUnfinished);
            if view.status().stage != SessionStage::Done {
                session::fail(&mut machine.cx, &view, problem::given_up());
            }
        }
        Phase::Idle(_) if asked || is_committing => {
            machine.become_idle(Idle::unpaired(problem::unpaired()));
            command(machine, TpmCommand::EndEpoch, caller);
        }
        Phase::Idle(_) | Phase::Paired(_) => {
            answer(machine, vec![caller], &Err(problem::nothing_to_wipe()));
        }
    }
}

/// Does what the end of an epoch asks of the machine.
pub(super) fn follow_revoking(machine: &mut Machine, outcome: revocation::Outcome) {
    match outcome {
        revocation::Outcome::Going => {}
        revocation::Outcome::Answer(callers, result) => answer(machine, callers, &result),
        revocation::Outcome::Over(callers, wiped) => {
            machine.leave();
            let idle = Idle::unpaired(problem::unpaired());
            let phase = std::mem::replace(&mut machine.phase, Phase::Idle(Box::new(idle)));
            if let Phase::Revoking(revoking) = phase {
                machine.become_idle(revoking.into_idle(machine.cx.now.boot));
            }
            machine.receipts.deliver(&machine.cx);
            answer(machine, callers, &Ok(wiped));
            succession::create(machine);
        }
    }
}

/// Answers the callers that waited for the end of an epoch.
pub(super) fn answer(machine: &mut Machine, callers: Vec<Caller>, answer: &Result<Wiped, Problem>) {
    for caller in callers {
        match (caller, answer) {
            (Caller::Wipe(id), Ok(wiped)) => machine.cx.reply(Some(id), Reply::Wiped(wiped.clone())),
            (Caller::Deprovision(id), Ok(_)) => {
                // A session may have begun while the epoch was being ended.
                machine.sessions.drop_all(&mut machine.cx);
                deprovision(machine, id);
            }
            (Caller::Wipe(id) | Caller::Deprovision(id), Err(problem)) => {
                machine.cx.reply(Some(id), Reply::Refused(problem.clone()));
            }
        }
    }
}

/// Removes the counter, unless it is still needed for a receipt.
fn deprovision(machine: &mut Machine, id: RequestId) {
    if machine.receipts.need_counter() {
        return machine.cx.reply(Some(id), Reply::Refused(problem::receipt_owed()));
    }
    command(machine, TpmCommand::Deprovision, Caller::Deprovision(id));
}

fn command(machine: &mut Machine, command: TpmCommand, caller: Caller) {
    let ticket = machine.cx.tpm(command);
    if let Some(Caller::Wipe(id) | Caller::Deprovision(id)) = machine.callers.await_command(ticket, caller) {
        machine.cx.reply(Some(id), Reply::Refused(problem::busy()));
    }
}

/// Handles the result of a TPM command that ran for a caller.
pub(super) fn command_over(machine: &mut Machine, caller: Caller, outcome: Result<TpmAnswer, TpmFailure>) {
    let (Caller::Wipe(id) | Caller::Deprovision(id)) = caller;
    match outcome {
        Ok(TpmAnswer::Ended(ended, epoch)) => answer(machine, vec![caller], &Ok(Wiped { ended, epoch })),
        Ok(TpmAnswer::Deprovisioned(removed)) => {
            machine.callers.deprovisioned();
            machine.examination.abandon();
            // Without the counter, no epoch that the disk names is live.
            machine.cx.write(Write::ForgetPairing);
            machine.leave();
            machine.become_idle(Idle::unpaired(problem::deprovisioned()));
            let counter = machine.cx.settings.counter;
            machine.cx.reply(Some(id), Reply::Deprovisioned(Deprovisioned { counter, removed }));
        }
        Ok(_) => {}
        Err(failure) => machine.cx.reply(Some(id), Reply::Refused(tpm_problem(&failure))),
    }
}

fn tpm_problem(failure: &TpmFailure) -> Problem {
    problem("tpm", failure.text.clone(), failure.remedy.clone())
}
