//! Approval sessions for a pairing. One runs beside the phases: a live pairing goes on until the approval, and neither
//! a wipe nor a revocation ends the session.

use pawl_proto::Text;
use pawl_proto::local::{PairRequest, Problem, SessionStage};
use pawl_proto::message::Cause;

use super::context::Context;
use super::effect::{Effect, Ticket, Write};
use super::revocation::Order;
use crate::backoff::Backoff;
use crate::problem;
use crate::store::Approved;

use std::time::Duration;

const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// The session that waits for its approval, and the approved one whose pairing is not begun yet.
pub(super) struct Sessions {
    open: Option<Open>,
    granted: Option<Granted>,
    /// The delay between sessions that the device opens by itself.
    backoff: Backoff,
}

/// A session that is not approved.
pub(super) struct Open {
    ticket: Ticket,
    /// Of a session that the device opened by itself: what the next one requests if this one fails.
    pub(super) unattended: Option<PairRequest>,
}

/// An approved session. Its pairing is made as soon as the old one has ended.
pub(super) struct Granted {
    pub(super) ticket: Ticket,
    pub(super) approved: Box<Approved>,
    pub(super) unattended: Option<PairRequest>,
    /// An earlier process may have made keys in the present epoch.
    ends_epoch: bool,
    /// The write of the approval; nothing is done on it before that.
    writing: Option<Ticket>,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { open: None, granted: None, backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY) }
    }

    /// Opens a session in the place of one that waits. `attended`: somebody is at the device.
    pub(super) fn begin(&mut self, cx: &mut Context, request: PairRequest, attended: bool) {
        self.fail_open(cx, &problem::given_up());
        let ticket = cx.ticket();
        cx.push(Effect::OpenSession { ticket, request: request.clone(), attended });
        self.open = Some(Open { ticket, unattended: (!attended).then_some(request) });
    }

    /// Opens a session that no caller has requested, unless one is open or approved already.
    pub(super) fn begin_unattended(&mut self, cx: &mut Context, request: PairRequest) {
        if !self.asks() {
            let origin = Text::lossy("the device, unasked");
            self.begin(cx, PairRequest { origin, ..request }, false);
        }
    }

    /// Takes over an approval that an earlier process kept.
    pub(super) fn resume(&mut self, cx: &mut Context, approved: Box<Approved>, ends_epoch: bool) {
        let ticket = cx.ticket();
        cx.push(Effect::ResumeSession(ticket, approved.clone()));
        let unattended = approved.statement().ok().map(|statement| Approved::again(&statement));
        self.granted = Some(Granted { ticket, approved, unattended, ends_epoch, writing: None });
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub(super) fn granted(&self) -> Option<&Granted> {
        self.granted.as_ref()
    }

    /// Whether a pairing is being asked for, approved or not.
    pub(super) fn asks(&self) -> bool {
        self.open.is_some() || self.granted.is_some()
    }

    /// Has an open session ask the control plane now: it may have approved.
    pub(super) fn poll(&self, cx: &mut Context) {
        if let Some(open) = &self.open {
            cx.push(Effect::PollSession(open.ticket));
        }
    }

    /// Gives up a session that is not approved. Returns whether there was one.
    pub(super) fn give_up(&mut self, cx: &mut Context) -> bool {
        self.fail_open(cx, &problem::given_up())
    }

    /// Drops every session, approved or not. Returns whether there was one.
    pub(super) fn drop_all(&mut self, cx: &mut Context) -> bool {
        let granted = self.granted.take();
        if let Some(granted) = &granted {
            fail(cx, granted.ticket, problem::given_up());
            cx.write(Write::DiscardUnfinished);
        }
        self.fail_open(cx, &problem::given_up()) || granted.is_some()
    }

    fn fail_open(&mut self, cx: &mut Context, why: &Problem) -> bool {
        let Some(open) = self.open.take() else { return false };
        fail(cx, open.ticket, why.clone());
        true
    }

    /// Takes the open session that this ticket names.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Open> {
        self.open.take_if(|open| open.ticket == ticket)
    }

    /// Keeps an approval. Nothing is done on it before the disk has it.
    pub(super) fn approved(&mut self, cx: &mut Context, open: Open, approved: Box<Approved>) {
        let writing = cx.write(Write::Approved(approved.clone()));
        let Open { ticket, unattended } = open;
        self.granted =
            Some(Granted { ticket, approved, unattended, ends_epoch: false, writing: Some(writing) });
    }

    /// Handles the result of a write, if it is the approval's. Returns the outcome.
    pub(super) fn written(
        &mut self,
        ticket: Ticket,
        outcome: &Result<(), String>,
    ) -> Option<Result<(), Granted>> {
        let granted = self.granted.as_mut().filter(|granted| granted.writing == Some(ticket))?;
        granted.writing = None;
        match outcome {
            Ok(()) => Some(Ok(())),
            Err(_) => self.granted.take().map(Err),
        }
    }

    /// Has the approved pairing made, once nothing of the old one is left to be done.
    pub(super) fn make(&mut self, cx: &mut Context) -> Option<Making> {
        let granted = self.granted.take_if(|granted| granted.writing.is_none())?;
        let Granted { ticket, approved, unattended, ends_epoch, .. } = granted;
        cx.push(Effect::ShowStage(ticket, SessionStage::Pairing));
        cx.close_gate(problem::pairing());
        cx.push(Effect::MakePairing { ticket, approved, ends_epoch });
        Some(Making { ticket, unattended })
    }

    /// A pairing was made.
    pub(super) fn succeeded(&mut self) {
        self.backoff.reset();
    }

    /// Returns when an unattended session is tried again.
    pub(super) fn next_try(&mut self, cx: &mut Context) -> Duration {
        cx.retry(&mut self.backoff)
    }
}

/// An approved pairing that is being made.
pub(super) struct Making {
    pub(super) ticket: Ticket,
    pub(super) unattended: Option<PairRequest>,
}

/// Has the executor show why a session ended without a pairing.
pub(super) fn fail(cx: &mut Context, ticket: Ticket, problem: Problem) {
    cx.push(Effect::FailSession(ticket, problem));
}

/// Returns the order that ends the pairing before an approved one.
pub(super) fn order(approved: &Approved) -> Order {
    let reason = approved.statement().map_or_else(
        |_| "a new pairing was approved".to_owned(),
        |statement| format!("a new pairing was approved: {}", statement.reason),
    );
    Order { cause: Cause::Repair, event: None, reason: Text::lossy(&reason) }
}
