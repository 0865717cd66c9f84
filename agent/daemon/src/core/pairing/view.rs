//! What callers of the local API see of a session, and what they hand to it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use pawl_local_api::{Asked, Problem, SessionStage, SessionStatus, WaitingStatus};
use pawl_proto::message::GivenApproval;
use pawl_proto::{SessionId, Text};

use crate::core::common::RequestId;
use crate::core::context::Context;
use crate::core::effect::Reply;

/// The status of one session, and the callers who wait for it. Clones share it: the session's procedure writes it, and the
/// core shows it.
#[derive(Clone)]
pub(in crate::core) struct View(Rc<RefCell<State>>);

struct State {
    status: SessionStatus,
    /// What was submitted and is not with the control plane yet.
    steps: VecDeque<(RequestId, Step)>,
    /// The caller of the step that is with the control plane.
    caller: Option<RequestId>,
    /// Something happened that makes the control plane worth asking.
    is_worth_asking: bool,
}

/// What a caller submits.
#[derive(Clone, Debug)]
pub(in crate::core) enum Step {
    /// An approval that was given at the device.
    Approval(GivenApproval),
    /// The confirmation that an approver elsewhere was shown.
    Confirmation(Text<32>),
}

/// The steps that may wait at one time.
const STEPS: usize = 4;

impl View {
    /// Returns the view of a session that begins.
    pub(in crate::core) fn opening() -> Self {
        let status = SessionStatus {
            id: None,
            stage: SessionStage::Opening,
            asked: None,
            waiting: None,
            problem: None,
        };
        let steps = VecDeque::new();
        Self(Rc::new(RefCell::new(State { status, steps, caller: None, is_worth_asking: false })))
    }

    /// Returns the view of a session whose approval an earlier process kept.
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

    /// Shows the id that the control plane has given.
    pub(super) fn set_id(&self, id: SessionId) {
        self.0.borrow_mut().status.id = Some(id);
    }

    /// Shows what the session asks for.
    pub(super) fn set_asked(&self, asked: Asked) {
        self.0.borrow_mut().status.asked = Some(asked);
    }

    /// Shows what an approver needs.
    pub(super) fn wait(&self, waiting: WaitingStatus) {
        let mut state = self.0.borrow_mut();
        (state.status.stage, state.status.waiting) = (SessionStage::Waiting, Some(waiting));
    }

    /// Shows a stage at which no approval is awaited.
    pub(in crate::core) fn reach(&self, stage: SessionStage) {
        let mut state = self.0.borrow_mut();
        (state.status.stage, state.status.waiting) = (stage, None);
    }

    /// Shows why the session failed.
    pub(in crate::core) fn fail(&self, problem: Problem) {
        self.reach(SessionStage::Failed);
        self.0.borrow_mut().status.problem = Some(problem);
    }

    /// Queues what a caller submits. A full queue takes nothing, and the caller is answered with how the session stands.
    pub(in crate::core) fn hand_in(&self, cx: &mut Context, caller: RequestId, step: Step) {
        let mut state = self.0.borrow_mut();
        if state.steps.len() < STEPS {
            state.steps.push_back((caller, step));
        } else {
            cx.reply(Some(caller), Reply::Session(Box::new(state.status.clone())));
        }
    }

    /// Has the session ask the control plane as soon as no call is under way.
    pub(in crate::core) fn prompt(&self) {
        self.0.borrow_mut().is_worth_asking = true;
    }

    /// Returns whether the session has something to submit, or a reason to ask. The next [`View::take_step`] answers that
    /// reason.
    pub(super) fn has_news(&self) -> bool {
        let state = self.0.borrow();
        state.is_worth_asking || !state.steps.is_empty()
    }

    /// Takes the next step from the queue. Its caller waits for [`View::take_caller`].
    pub(super) fn take_step(&self) -> Option<Step> {
        let mut state = self.0.borrow_mut();
        state.is_worth_asking = false;
        let (caller, step) = state.steps.pop_front()?;
        state.caller = Some(caller);
        Some(step)
    }

    /// Takes the caller of the step that was taken last.
    pub(super) fn take_caller(&self) -> Option<RequestId> {
        self.0.borrow_mut().caller.take()
    }

    /// Answers every caller who waits with how the session stands: it takes no steps any more.
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
