//! The status of a session for callers of the local API, and the approvals and confirmations that they submit.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use pawl_local_api::{Asked, Problem, SessionStage, SessionStatus, WaitingStatus};
use pawl_proto::message::GivenApproval;
use pawl_proto::{SessionId, Text};

use crate::core::common::RequestId;
use crate::core::context::Context;
use crate::core::effect::Reply;

/// The status of one session, and the callers that wait for it. Clones share it: the session's procedure writes it, and the core
/// reads it.
#[derive(Clone)]
pub(in crate::core) struct View(Rc<RefCell<State>>);

struct State {
    status: SessionStatus,
    /// Submissions that were not sent to the control plane yet.
    steps: VecDeque<(RequestId, Step)>,
    /// The caller of the submission that was sent to the control plane.
    caller: Option<RequestId>,
    /// Whether the session has to ask the control plane as soon as possible.
    is_prompted: bool,
}

/// A submission of a caller.
#[derive(Clone, Debug)]
pub(in crate::core) enum Step {
    /// An approval that was given at the device.
    Approval(GivenApproval),
    /// The confirmation that an approver elsewhere was shown.
    Confirmation(Text<32>),
}

/// Limit of the queued submissions.
const STEPS: usize = 4;

impl View {
    /// Returns the view of a new session.
    pub(in crate::core) fn opening() -> Self {
        let status = SessionStatus {
            id: None,
            stage: SessionStage::Opening,
            asked: None,
            waiting: None,
            problem: None,
        };
        let steps = VecDeque::new();
        Self(Rc::new(RefCell::new(State { status, steps, caller: None, is_prompted: false })))
    }

    /// Returns the view of a session whose approval an earlier process wrote to the disk.
    pub(in crate::core) fn resumed(id: SessionId, asked: Asked) -> Self {
        let view = Self::opening();
        view.set_id(id);
        view.set_asked(asked);
        view.reach(SessionStage::Pairing);
        view
    }

    pub(in crate::core) fn status(&self) -> SessionStatus {
        self.0.borrow().status.clone()
    }

    /// Sets the session's id.
    pub(super) fn set_id(&self, id: SessionId) {
        self.0.borrow_mut().status.id = Some(id);
    }

    /// Sets what the session requests.
    pub(super) fn set_asked(&self, asked: Asked) {
        self.0.borrow_mut().status.asked = Some(asked);
    }

    /// Enters the stage in which the session waits for an approval, and sets what an approver needs.
    pub(super) fn wait(&self, waiting: WaitingStatus) {
        let mut state = self.0.borrow_mut();
        (state.status.stage, state.status.waiting) = (SessionStage::Waiting, Some(waiting));
    }

    /// Enters a stage in which the session does not wait for an approval.
    pub(in crate::core) fn reach(&self, stage: SessionStage) {
        let mut state = self.0.borrow_mut();
        (state.status.stage, state.status.waiting) = (stage, None);
    }

    /// Sets why the session failed.
    pub(in crate::core) fn fail(&self, problem: Problem) {
        self.reach(SessionStage::Failed);
        self.0.borrow_mut().status.problem = Some(problem);
    }

    /// Queues a caller's submission. If the queue is full, drops it and answers the caller with the session's status.
    pub(in crate::core) fn submit(&self, cx: &mut Context, caller: RequestId, step: Step) {
        let mut state = self.0.borrow_mut();
        if state.steps.len() < STEPS {
            state.steps.push_back((caller, step));
        } else {
            cx.reply(Some(caller), Reply::Session(Box::new(state.status.clone())));
        }
    }

    /// Makes the session ask the control plane as soon as no call is in progress.
    pub(in crate::core) fn prompt(&self) {
        self.0.borrow_mut().is_prompted = true;
    }

    /// Returns whether the session has a submission, or was prompted. The next [`View::take_step`] clears the prompt.
    pub(super) fn has_news(&self) -> bool {
        let state = self.0.borrow();
        state.is_prompted || !state.steps.is_empty()
    }

    /// Removes and returns the next submission. [`View::take_caller`] then returns its caller.
    pub(super) fn take_step(&self) -> Option<Step> {
        let mut state = self.0.borrow_mut();
        state.is_prompted = false;
        let (caller, step) = state.steps.pop_front()?;
        state.caller = Some(caller);
        Some(step)
    }

    /// Removes and returns the caller of the last submission.
    pub(super) fn take_caller(&self) -> Option<RequestId> {
        self.0.borrow_mut().caller.take()
    }

    /// Answers every waiting caller with the session's status. The session has ended, and accepts no submissions any more.
    pub(in crate::core) fn close(&self, cx: &mut Context) {
        let (callers, status) = {
            let mut state = self.0.borrow_mut();
            let first = state.caller.take();
            let waiting: Vec<_> = state.steps.drain(..).map(|(caller, _)| caller).collect();
            (first.into_iter().chain(waiting), state.status.clone())
        };
        for caller in callers {
            cx.reply(Some(caller), Reply::Session(Box::new(status.clone())));
        }
    }
}
