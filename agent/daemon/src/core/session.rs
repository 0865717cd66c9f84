//! Approval sessions for a pairing, and the pairing that is created of an approved one. A session runs beside the phases: a
//! live pairing goes on until the approval, and neither a wipe nor a revocation ends the session.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pawl_local_api::{PairRequest, Problem, SessionStage, SessionStatus};
use pawl_proto::codec::DecodeError;
use pawl_proto::message::{Cause, Statement, StatementContext};
use pawl_proto::record::DeviceFact;
use pawl_proto::{Epoch, Text};

use super::common::{RequestId, Ticket};
use super::context::Context;
use super::effect::Write;
use super::found::Found;
use super::orders::Ending;
use super::pairing::creation::{self, Creation};
use super::pairing::session::{self, NewSession};
use super::pairing::view::{Step, View};
use super::pairing::{PairingError, Past};
use super::procedure::{Outcome, Procedure};
use crate::approval;
use crate::backoff::Backoff;
use crate::problem;
use crate::record::{Approved, PairingRecord};
use crate::telemetry::event::SecurityEvent;

const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// The session that waits for its approval, and the approved one whose pairing is not being created yet.
pub(super) struct Sessions {
    open: Option<Open>,
    granted: Option<Granted>,
    /// The session that was begun last.
    view: Option<View>,
    /// What the device found of its past when it started, or was paired last.
    past: Option<Past>,
    /// The delay between sessions that the device opens by itself.
    backoff: Backoff,
}

/// A session that is not approved.
pub(super) struct Open {
    procedure: Procedure<Result<Box<Approved>, PairingError>>,
    view: View,
    /// Of a session that the device opened by itself: what the next one requests if this one fails.
    unattended: Option<PairRequest>,
}

/// An approved session. Its pairing is created as soon as the old one has ended.
pub(super) struct Granted {
    pub(super) view: View,
    pub(super) approved: Box<Approved>,
    pub(super) unattended: Option<PairRequest>,
    /// An earlier process may have made keys in the present epoch.
    ends_epoch: bool,
    /// The write of the approval; nothing is done on it before that.
    writing: Option<Ticket>,
}

/// Why no pairing comes of a session.
pub(super) struct Failure {
    pub(super) view: View,
    pub(super) problem: Problem,
    /// What the device requests again by itself.
    pub(super) unattended: Option<PairRequest>,
    /// The policy wants a person: asking again changes nothing.
    pub(super) wants_person: bool,
}

impl Sessions {
    pub(super) fn new() -> Self {
        let backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        Self { open: None, granted: None, view: None, past: None, backoff }
    }

    /// Opens a session in the place of one that waits. `attended`: somebody is at the device.
    pub(super) fn begin(&mut self, cx: &mut Context, request: PairRequest, attended: bool) {
        self.give_up(cx);
        let view = View::opening();
        let (past, settings) = (self.past(), cx.settings.clone());
        let new = NewSession { request: request.clone(), attended, past, settings };
        let procedure = Procedure::new(cx, |port| session::run(port, new, view.clone()));
        self.view = Some(view.clone());
        self.open = Some(Open { procedure, view, unattended: (!attended).then_some(request) });
    }

    /// Opens a session that no caller has requested, unless one is open or approved already.
    pub(super) fn begin_unattended(&mut self, cx: &mut Context, request: PairRequest) {
        if !self.asks() {
            let origin = Text::lossy("the device, unasked");
            self.begin(cx, PairRequest { origin, ..request }, false);
        }
    }

    /// Takes over an approval that an earlier process kept.
    pub(super) fn resume_approved(
        &mut self,
        approved: Box<Approved>,
        statement: &Statement,
        ends_epoch: bool,
    ) {
        let asked = approval::asked(&approved.answer.statement, statement, &StatementContext::default());
        let view = View::resumed(statement.session, asked);
        self.view = Some(view.clone());
        let unattended = Some(again(statement));
        self.granted = Some(Granted { view, approved, unattended, ends_epoch, writing: None });
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub(super) fn granted(&self) -> Option<&Granted> {
        self.granted.as_ref()
    }

    /// Returns whether a pairing is being asked for, approved or not.
    pub(super) fn asks(&self) -> bool {
        self.open.is_some() || self.granted.is_some()
    }

    /// Returns how the session stands that was begun last.
    pub(super) fn status(&self) -> Option<SessionStatus> {
        self.view.as_ref().map(View::status)
    }

    pub(super) fn past(&self) -> Past {
        self.past.clone().unwrap_or_default()
    }

    /// Learns the device's past, which is what was found first.
    pub(super) fn learn_past(&mut self, found: &Found) {
        self.past.get_or_insert_with(|| Past::found(found));
    }

    /// Has an open session ask the control plane now: it may have approved.
    pub(super) fn poll(&mut self) {
        if let Some(open) = &mut self.open {
            open.view.prompt();
            open.procedure.wake();
        }
    }

    /// Hands an approval or a confirmation to the open session. Returns whether there is one.
    pub(super) fn hand_in(&mut self, cx: &mut Context, caller: RequestId, step: Step) -> bool {
        let Some(open) = &mut self.open else { return false };
        open.view.hand_in(cx, caller, step);
        open.procedure.wake();
        true
    }

    /// Gives up a session that is not approved. Returns whether there was one.
    pub(super) fn give_up(&mut self, cx: &mut Context) -> bool {
        let Some(open) = self.open.take() else { return false };
        fail(cx, &open.view, problem::given_up());
        true
    }

    /// Drops every session, approved or not. Returns whether there was one.
    pub(super) fn drop_all(&mut self, cx: &mut Context) -> bool {
        let granted = self.granted.take();
        if let Some(granted) = &granted {
            cx.write(Write::DiscardUnfinished);
            fail(cx, &granted.view, problem::given_up());
        }
        self.give_up(cx) || granted.is_some()
    }

    /// Submits the result that the open session awaits. Returns one that it does not await.
    pub(super) fn resume(&mut self, ticket: Ticket, outcome: Outcome) -> Option<Outcome> {
        match &mut self.open {
            Some(open) => open.procedure.resume(ticket, Some(outcome)),
            None => Some(outcome),
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.open.as_ref().and_then(|open| open.procedure.deadline())
    }

    /// Runs the open session. An approval goes to the disk: nothing is done on it before the disk has it.
    pub(super) fn run(&mut self, cx: &mut Context) -> Option<Failure> {
        let outcome = self.open.as_mut().and_then(|open| open.procedure.run(cx))?;
        let Open { view, unattended, .. } = self.open.take()?;
        match outcome {
            Ok(approved) => {
                view.reach(SessionStage::Ending);
                view.close(cx);
                let writing = Some(cx.write(Write::Approved(approved.clone())));
                self.granted = Some(Granted { view, approved, unattended, ends_epoch: false, writing });
                None
            }
            Err(error) => Some(Failure {
                view,
                problem: error.problem(unattended.is_none()),
                wants_person: error.wants_person(),
                unattended,
            }),
        }
    }

    /// Handles the result of a write, if it is the approval's. Returns whether the disk has taken it.
    pub(super) fn written(
        &mut self,
        ticket: Ticket,
        outcome: &Result<(), String>,
    ) -> Option<Result<(), Box<Failure>>> {
        let granted = self.granted.as_mut().filter(|granted| granted.writing == Some(ticket))?;
        granted.writing = None;
        let Err(error) = outcome else { return Some(Ok(())) };
        let problem = PairingError::Store(error.clone()).problem(true);
        let Granted { view, unattended, .. } = self.granted.take()?;
        Some(Err(Box::new(Failure { view, problem, unattended, wants_person: false })))
    }

    /// Has the approved pairing created, once nothing of the old one is left to be done.
    pub(super) fn create(&mut self, cx: &mut Context) -> Option<Creating> {
        let granted = self.granted.take_if(|granted| granted.writing.is_none())?;
        let Granted { view, approved, unattended, ends_epoch, .. } = granted;
        view.reach(SessionStage::Pairing);
        cx.close_gate(problem::pairing());
        let ended = self.past().epoch(approved.attestation_name.as_bytes()).unwrap_or(Epoch(0));
        let (above, granted) = (approved.answer.above.max(ended), Rc::default());
        let creation = Creation { approved, above, ends_epoch, granted: Rc::clone(&granted) };
        let procedure = Procedure::new(cx, |port| creation::run(port, creation));
        Some(Creating { procedure, view, unattended, granted })
    }

    /// Handles the pairing that was created.
    pub(super) fn created(&mut self, creating: &Creating) {
        self.backoff.reset();
        creating.view.reach(SessionStage::Done);
        if let Some(record) = creating.granted.get() {
            self.past = Some(Past::of(record));
        }
    }

    /// Returns when an unattended session is tried again.
    pub(super) fn next_try(&mut self, cx: &mut Context) -> Duration {
        cx.retry(&mut self.backoff)
    }
}

/// An approved pairing that is being created.
pub(super) struct Creating {
    pub(super) procedure: Procedure<Result<(), PairingError>>,
    pub(super) view: View,
    pub(super) unattended: Option<PairRequest>,
    granted: Rc<OnceCell<Arc<PairingRecord>>>,
}

impl Creating {
    /// Returns the record, once the control plane has granted the pairing. If it is not used, its epoch has to end.
    pub(super) fn granted(&self) -> Option<Arc<PairingRecord>> {
        self.granted.get().cloned()
    }
}

/// Shows why a session ended without a pairing, to its callers and to the operator, and gives back the reserved space.
pub(super) fn fail(cx: &mut Context, view: &View, problem: Problem) {
    let text = format!("no pairing was made: {}; {}", problem.reason, problem.remedy);
    cx.security(SecurityEvent::PAIRING_REFUSED, None, text);
    cx.write(Write::Release);
    // Without a session id nobody was asked. An attempt that is repeated until there is a network must not push older
    // records out.
    if let Some(id) = view.status().id {
        cx.record(None, None, DeviceFact::Refused { session: Some(id), code: Text::lossy(&problem.error) });
    }
    view.fail(problem);
    view.close(cx);
}

/// Returns the order that ends the pairing before an approved one.
pub(super) fn order(approved: &Approved) -> Ending {
    let reason = statement(approved).map_or_else(
        |_| "a new pairing was approved".to_owned(),
        |statement| format!("a new pairing was approved: {}", statement.reason),
    );
    Ending { cause: Cause::Repair, event: None, reason: Text::lossy(&reason) }
}

/// Returns what was approved.
///
/// # Errors
/// When it cannot be read.
pub(super) fn statement(approved: &Approved) -> Result<Statement, DecodeError> {
    approved.answer.statement.decode()
}

/// Returns what has to be requested again, if nothing comes of an approval.
fn again(statement: &Statement) -> PairRequest {
    let (reason, scopes) = (statement.reason.clone(), statement.scopes.clone());
    PairRequest { reason, scopes, ..PairRequest::default() }
}
