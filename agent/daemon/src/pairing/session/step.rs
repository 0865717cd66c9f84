//! The steps of a session that waits: it asks how it stands, and hands in what it is given.

use std::time::Duration;

use pawl_proto::Text;
use pawl_proto::codec::{EncodeError, Version};
use pawl_proto::local::{Problem, SessionStatus};
use pawl_proto::message::{ApprovalStep, GivenApproval, Waiting};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::{FIRST_RETRY, LONGEST_RETRY, Session};
use crate::backoff::Backoff;
use crate::control_plane::{Answer, CallError};
use crate::pairing::{PairingError, Progress};

/// What a session is given.
pub(crate) enum Step {
    /// An approval that was given at the device.
    Approval(GivenApproval, Reply),
    /// The confirmation that an approver elsewhere was shown.
    Confirmation(Text<32>, Reply),
    /// Something happened that makes the control plane worth asking.
    Look,
}

/// Where the outcome of a step goes.
pub(crate) type Reply = oneshot::Sender<Result<SessionStatus, Unanswered>>;

/// Why a step has no outcome.
pub(crate) enum Unanswered {
    /// No session waits for anything.
    NoSession,
    /// The control plane did not answer; the session goes on.
    Unreachable(Problem),
}

/// The control plane is asked no more often, and no less.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl Session<'_> {
    /// The next answer: when the control plane wants to be asked, or when there is something to
    /// hand in.
    pub(super) async fn next(
        &mut self,
        waiting: &Waiting,
        steps: &mut mpsc::Receiver<Step>,
        caller: &mut Caller,
    ) -> Result<Answer, PairingError> {
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        let mut wait = Duration::from_secs(u64::from(waiting.retry_after)).clamp(SHORTEST_WAIT, LONGEST_WAIT);
        loop {
            let step = tokio::select! {
                Some(step) = steps.recv() => step,
                () = sleep(wait) => Step::Look,
            };
            match self.hand_in(step, caller).await {
                Err(error) if self.outlives(&error) => {
                    tracing::debug!(%error, "the session waits for the control plane");
                    caller.turn_away(PairingError::Call(error).problem(true));
                    wait = backoff.delay();
                }
                Err(error) if error.is_transient() => return Err(PairingError::Expired),
                other => return Ok(other?),
            }
        }
    }

    async fn hand_in(&mut self, step: Step, caller: &mut Caller) -> Result<Answer, CallError> {
        let (approval, confirmation) = match step {
            Step::Look => return self.ask(None, None).await,
            Step::Approval(approval, reply) => {
                caller.0 = Some(reply);
                (Some(approval), None)
            }
            Step::Confirmation(code, reply) => {
                caller.0 = Some(reply);
                (None, Some(code))
            }
        };
        self.refused = None;
        match self.ask(approval, confirmation).await {
            Err(error) if error.spares_the_session() => {
                tracing::warn!(%error, "what was handed in does not count");
                self.refused = Some(error.to_string());
                self.ask(None, None).await
            }
            other => other,
        }
    }

    async fn ask(
        &self,
        approval: Option<GivenApproval>,
        confirmation: Option<Text<32>>,
    ) -> Result<Answer, CallError> {
        let secret = self.secret.to_vec().try_into().map_err(EncodeError::from)?;
        let step = ApprovalStep { version: Version, secret, approval, confirmation };
        self.shared.control_plane.step(self.id, &step).await
    }
}

/// Who waits for the outcome of what they handed in.
pub(super) struct Caller(Option<Reply>);

impl Caller {
    pub(super) fn nobody() -> Self {
        Self(None)
    }

    /// Answers with how the session stands. Whoever asked may have gone.
    pub(super) fn answer(&mut self, progress: &Progress) {
        if let Some(reply) = self.0.take() {
            let _ = reply.send(Ok(progress.status()));
        }
    }

    fn turn_away(&mut self, problem: Problem) {
        if let Some(reply) = self.0.take() {
            let _ = reply.send(Err(Unanswered::Unreachable(problem)));
        }
    }
}
