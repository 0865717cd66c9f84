//! Approval sessions for a pairing, and the creation of an approved pairing. A session runs in parallel to the phases: a live
//! pairing continues until the approval. A revocation by the control plane does not end a session; a wipe by a caller at the
//! device does.

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
    /// The newest session.
    view: Option<View>,
    /// What the disk and the TPM show about earlier pairings.
    past: Option<Past>,
    /// The delay between unattended sessions.
    backoff: Backoff,
}

/// A session that is not approved.
pub(super) struct Open {
    procedure: Procedure<Result<Box<Approved>, PairingError>>,
    view: View,
    /// If this session is unattended: the request of the next one after a failure.
    unattended: Option<PairRequest>,
}

/// An approved session. The core creates its pairing as soon as the old one has ended.
pub(super) struct Granted {
    pub(super) view: View,
    pub(super) approved: Box<Approved>,
    pub(super) unattended: Option<PairRequest>,
    /// Whether an earlier process may have created keys in the present epoch.
    ends_epoch: bool,
    /// The write of the approval. The core does not act on the approval before it.
    writing: Option<Ticket>,
}

/// Why a session failed.
pub(super) struct Failure {
    pub(super) view: View,
    pub(super) problem: Problem,
    /// The request of the next unattended session.
    pub(super) unattended: Option<PairRequest>,
    /// Whether the policy requires a person: a retry without one changes nothing.
    pub(super) wants_person: bool,
}

impl Sessions {
    pub(super) fn new() -> Self {
        let backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        Self { open: None, granted: None, view: None, past: None, backoff }
    }

    /// Opens a session, and ends one that waits. `attended`: a person is at the device.
    pub(super) fn begin(&mut self, cx: &mut Context, request: PairRequest, attended: bool) {
        self.give_up(cx);
        let view = View::opening();
        let (past, settings) = (self.past(), cx.settings.clone());
        let new = NewSession { request: request.clone(), attended, past, settings };
        let procedure = Procedure::new(cx, |port| session::run(port, new, view.clone()));
        self.view = Some(view.clone());
        self.open = Some(Open { procedure, view, unattended: (!attended).then_some(request) });
    }

    /// Starts an unattended session, unless one is open or approved already.
    pub(super) fn begin_unattended(&mut self, cx: &mut Context, request: PairRequest) {
        if !self.asks() {
            let origin = Text::lossy("pawld, without a caller");
            self.begin(cx, PairRequest { origin, ..request }, false);
        }
    }

    /// Resumes an approval that an earlier process wrote to the disk.
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

    /// Returns whether a session is open or approved.
    pub(super) fn asks(&self) -> bool {
        self.open.is_some() || self.granted.is_some()
    }

    /// Returns the status of the newest session.
    pub(super) fn status(&self) -> Option<SessionStatus> {
        self.view.as_ref().map(View::status)
    }

    pub(super) fn past(&self) -> Past {
        self.past.clone().unwrap_or_default()
    }

    /// Sets what the disk and the TPM show about earlier pairings. Only the first call has an effect.
    pub(super) fn learn_past(&mut self, found: &Found) {
        self.past.get_or_insert_with(|| Past::found(found));
    }

    /// Makes an open session ask the control plane now: it may have approved.
    pub(super) fn poll(&mut self) {
        if let Some(open) = &mut self.open {
            open.view.prompt();
            open.procedure.wake();
        }
    }

    /// Submits an approval or a confirmation to the open session. Returns false if there is none.
    pub(super) fn submit(&mut self, cx: &mut Context, caller: RequestId, step: Step) -> bool {
        let Some(open) = &mut self.open else { return false };
        open.view.submit(cx, caller, step);
        open.procedure.wake();
        true
    }

    /// Ends a session that is not approved. Returns whether there was one.
    pub(super) fn give_up(&mut self, cx: &mut Context) -> bool {
        let Some(open) = self.open.take() else { return false };
        fail(cx, &open.view, problem::given_up());
        true
    }

    /// Ends every session, approved or not. Returns whether there was one.
    pub(super) fn drop_all(&mut self, cx: &mut Context) -> bool {
        let granted = self.granted.take();
        if let Some(granted) = &granted {
            cx.write(Write::DiscardUnfinished);
            fail(cx, &granted.view, problem::given_up());
        }
        self.give_up(cx) || granted.is_some()
    }

    /// Passes a result to the open session. Returns the result if the session does not await it.
    pub(super) fn resume(&mut self, ticket: Ticket, outcome: Outcome) -> Option<Outcome> {
        match &mut self.open {
            Some(open) => open.procedure.resume(ticket, Some(outcome)),
            None => Some(outcome),
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.open.as_ref().and_then(|open| open.procedure.deadline())
    }

    /// Runs the open session. Writes an approval to the disk, before the core acts on it. Returns why the session failed, if it
    /// did.
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

    /// Handles the result of a write, if it is the write of the approval. Returns whether that write succeeded.
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

    /// Starts the creation of the approved pairing; none if no approval is on the disk. Call it after the old pairing has ended.
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

    /// Marks the session as done, and its pairing as the last one of this device.
    pub(super) fn created(&mut self, creating: &Creating) {
        self.backoff.reset();
        creating.view.reach(SessionStage::Done);
        if let Some(record) = creating.granted.get() {
            self.past = Some(Past::of(record));
        }
    }

    /// Returns when to start the next unattended session.
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
    /// Returns the record if the control plane has granted the pairing. If the pairing is not used, the core has to end its epoch.
    pub(super) fn granted(&self) -> Option<Arc<PairingRecord>> {
        self.granted.get().cloned()
    }
}

/// Ends a failed session: logs and records the problem, answers its callers, and frees the reserved disk space.
pub(super) fn fail(cx: &mut Context, view: &View, problem: Problem) {
    let text = format!("the pairing failed: {}; {}", problem.reason, problem.remedy);
    cx.security(SecurityEvent::PAIRING_REFUSED, None, text);
    cx.write(Write::Release);
    // Without an id the control plane has not offered a session. Attempts that repeat until there is a network must not push older
    // records out.
    if let Some(id) = view.status().id {
        cx.record(None, None, DeviceFact::Refused { session: Some(id), code: Text::lossy(&problem.error) });
    }
    view.fail(problem);
    view.close(cx);
}

/// Returns why an approved pairing ends the old one.
pub(super) fn order(approved: &Approved) -> Ending {
    let reason = statement(approved).map_or_else(
        |_| "a new pairing was approved".to_owned(),
        |statement| format!("a new pairing was approved: {}", statement.reason),
    );
    Ending { cause: Cause::Repair, event: None, reason: Text::lossy(&reason) }
}

/// Returns the approved statement.
///
/// # Errors
/// If it is malformed.
pub(super) fn statement(approved: &Approved) -> Result<Statement, DecodeError> {
    approved.answer.statement.decode()
}

/// Returns the request of the next unattended session, if the creation of the approved pairing fails.
fn again(statement: &Statement) -> PairRequest {
    let (reason, scopes) = (statement.reason.clone(), statement.scopes.clone());
    PairRequest { reason, scopes, ..PairRequest::default() }
}
