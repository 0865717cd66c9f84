//! The approval session of one action: it waits for approvals, is approved, and is used for one signature.

use std::sync::Arc;
use std::time::Duration;

use pawl_local_api::{ActionStatus, Asked, Problem, WaitingStatus};
use pawl_proto::codec::Version;
use pawl_proto::message::{
    ActionApproved, ActionOffer, ActionState, ApprovalStep, GivenApproval, GrantedApproval, Known,
    StatementBytes, Waiting,
};
use pawl_proto::record::DeviceFact;
use pawl_proto::{Blob, SessionId, Text};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{Acting, ActionError, Asking};
use crate::approval;
use crate::core::StatementError;
use crate::shared::Shared;
use crate::telemetry::event::SecurityEvent;

/// A session that the control plane opened.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) acting: Arc<Acting>,
    pub(super) asking: Asking,
    /// A secret that each step carries, to show that it comes from the same device.
    pub(super) secret: Zeroizing<Vec<u8>>,
    /// The control plane's statement, checked against the request.
    pub(super) statement: StatementBytes,
    asked: Asked,
    stage: Stage,
}

enum Stage {
    Waiting {
        shown: WaitingStatus,
        /// The daemon does not query the control plane before this time.
        again: Instant,
    },
    Approved(Vec<GrantedApproval>),
    Assured(String),
    Failed(Problem),
}

/// What the caller submits to a session.
pub(crate) enum Step {
    /// Nothing: a query.
    Look,
    /// An approval that was given at the device.
    Approval(GivenApproval),
    /// The confirmation code that an approver elsewhere was shown.
    Confirmation(Text<32>),
}

/// The shortest interval between two queries of the control plane.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

impl Session {
    /// Returns the session of an offer, if its statement is over the request.
    pub(super) fn new(
        shared: &Shared,
        acting: &Arc<Acting>,
        asking: Asking,
        offer: ActionOffer,
    ) -> Result<Self, ActionError> {
        let (bytes, known) = match &offer.state {
            ActionState::Waiting(waiting) => (&waiting.statement, &waiting.known),
            ActionState::Approved(approved) => (&approved.statement, &Known::default()),
        };
        let statement = asking.check_statement(offer.session, &acting.record, bytes)?;
        let mut session = Self {
            id: offer.session,
            acting: Arc::clone(acting),
            asking,
            secret: Zeroizing::new(offer.secret.into_vec()),
            statement: bytes.clone(),
            asked: approval::asked(bytes, &statement, known),
            stage: Stage::Approved(Vec::new()),
        };
        session.record(
            shared,
            DeviceFact::Opened {
                session: session.id,
                origin: statement.origin,
                action: statement.action,
                statement: bytes.digest(),
            },
        );
        session.take(shared, offer.state, None)?;
        Ok(session)
    }

    /// Returns the status of the session.
    pub(super) fn status(&self) -> ActionStatus {
        let mut status = ActionStatus {
            id: self.id,
            asked: self.asked.clone(),
            waiting: None,
            assurance: None,
            problem: None,
        };
        match &self.stage {
            Stage::Waiting { shown, .. } => status.waiting = Some(shown.clone()),
            Stage::Approved(_) => {}
            Stage::Assured(assurance) => status.assurance = Some(assurance.clone()),
            Stage::Failed(problem) => status.problem = Some(problem.clone()),
        }
        status
    }

    /// Advances the session as far as it can.
    ///
    /// # Errors
    /// If the caller can ask again. Every other error ends the session and is in its status.
    pub(super) async fn step(&mut self, shared: &Shared, step: Step) -> Result<(), ActionError> {
        match self.go_on(shared, step).await {
            Err(error) if error.is_transient() => Err(error),
            Err(error) => {
                let problem = error.problem();
                SecurityEvent::ACTION_REFUSED.log(
                    Some(self.acting.record.epoch),
                    format_args!(
                        "{:?} was not let in session {}: {}",
                        self.asking.action().as_str(),
                        self.id,
                        problem.reason
                    ),
                );
                let code = Text::lossy(&problem.error);
                self.record(shared, DeviceFact::Refused { session: Some(self.id), code });
                self.stage = Stage::Failed(problem);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn go_on(&mut self, shared: &Shared, step: Step) -> Result<(), ActionError> {
        if let Stage::Waiting { again, .. } = self.stage {
            if matches!(step, Step::Look) && Instant::now() < again {
                return Ok(());
            }
            self.submit(shared, step).await?;
        }
        if let Stage::Approved(approvals) = &self.stage {
            self.stage = Stage::Assured(self.assure(shared, approvals).await?);
        }
        Ok(())
    }

    async fn submit(&mut self, shared: &Shared, step: Step) -> Result<(), ActionError> {
        let (approval, confirmation) = match step {
            Step::Look => (None, None),
            Step::Approval(approval) => (Some(approval), None),
            Step::Confirmation(code) => (None, Some(code)),
        };
        match self.ask(shared, approval, confirmation).await {
            Ok(state) => self.take(shared, state, None),
            Err(ActionError::Call(error)) if error.spares_the_session() => {
                tracing::warn!(session = %self.id, %error, "approval or confirmation rejected");
                let state = self.ask(shared, None, None).await?;
                self.take(shared, state, Some(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    async fn ask(
        &self,
        shared: &Shared,
        approval: Option<GivenApproval>,
        confirmation: Option<Text<32>>,
    ) -> Result<ActionState, ActionError> {
        let secret = Blob::new(self.secret.to_vec())?;
        let step = ApprovalStep { version: Version, secret, approval, confirmation };
        Ok(shared.control_plane.step_action(self.id, &step).await?)
    }

    /// Applies the control plane's answer. It is about the statement that was checked.
    fn take(
        &mut self,
        shared: &Shared,
        state: ActionState,
        refused: Option<String>,
    ) -> Result<(), ActionError> {
        match state {
            ActionState::Waiting(waiting) => {
                self.must_be_same(&waiting.statement)?;
                self.wait(shared, &waiting, refused);
            }
            ActionState::Approved(ActionApproved { statement, approvals, .. }) => {
                self.must_be_same(&statement)?;
                approval::check_signatures(&statement, &approvals)?;
                let by = approvals.iter().map(|approval| approval.principal.clone()).collect();
                self.record(shared, DeviceFact::Approved { session: self.id, by });
                self.stage = Stage::Approved(approvals);
            }
        }
        Ok(())
    }

    fn must_be_same(&self, statement: &StatementBytes) -> Result<(), StatementError> {
        if *statement == self.statement { Ok(()) } else { Err(StatementError::Changed) }
    }

    fn wait(&mut self, shared: &Shared, waiting: &Waiting, refused: Option<String>) {
        let wait = Duration::from_secs(u64::from(waiting.retry_after)).max(SHORTEST_WAIT);
        self.stage = Stage::Waiting {
            shown: approval::waiting_status(waiting, shared.clock.unix(), refused),
            again: Instant::now() + wait,
        };
    }

    pub(super) fn record(&self, shared: &Shared, fact: DeviceFact) {
        shared.audit.record(Some(self.acting.record.epoch), fact);
    }
}
