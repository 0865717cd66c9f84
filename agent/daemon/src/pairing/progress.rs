//! How a session stands, for whoever asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pawl_proto::SessionId;
use pawl_proto::local::{Asked, Problem, SessionStage, SessionStatus, WaitingStatus};

/// The status of one session: its task writes it, and the local API shows it.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Mutex<SessionStatus>>);

impl Progress {
    /// A session that begins.
    pub(crate) fn opening() -> Self {
        Self(Arc::new(Mutex::new(SessionStatus {
            id: None,
            stage: SessionStage::Opening,
            asked: None,
            waiting: None,
            problem: None,
        })))
    }

    /// A session whose approval an earlier process kept.
    pub(super) fn resumed(id: SessionId, asked: Asked) -> Self {
        let progress = Self::opening();
        progress.offered(id);
        progress.asked(asked);
        progress.reach(SessionStage::Pairing);
        progress
    }

    pub(crate) fn status(&self) -> SessionStatus {
        self.lock().clone()
    }

    /// The control plane has given it an id.
    pub(super) fn offered(&self, id: SessionId) {
        self.lock().id = Some(id);
    }

    /// What is asked for is known.
    pub(super) fn asked(&self, asked: Asked) {
        self.lock().asked = Some(asked);
    }

    /// Somebody has to approve.
    pub(super) fn wait(&self, waiting: WaitingStatus) {
        let mut status = self.lock();
        status.stage = SessionStage::Waiting;
        status.waiting = Some(waiting);
    }

    /// It has come so far; nobody is waited for any more.
    pub(crate) fn reach(&self, stage: SessionStage) {
        let mut status = self.lock();
        status.stage = stage;
        status.waiting = None;
    }

    /// It came to nothing.
    pub(crate) fn fail(&self, problem: Problem) {
        self.reach(SessionStage::Failed);
        self.lock().problem = Some(problem);
    }

    fn lock(&self) -> MutexGuard<'_, SessionStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
